"""Kinds of figures: a file's name is the `kind` of the YAML, its `draw(picture)` makes the figure."""

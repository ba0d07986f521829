"""Kinds of figures. A file here is a kind: its name is the `kind` of the YAML, its `draw` makes the figure."""

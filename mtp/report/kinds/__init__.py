"""Kinds of figures: a file's name is the `kind` of the YAML, its `draw(picture)` makes the figure."""

from pathlib import Path


def names() -> tuple[str, ...]:
    """Names of all kinds, sorted; files that start with an underscore are helpers."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))

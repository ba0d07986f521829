"""Measures: each file here is one, and its name is the measure's (see `mtp.measure`). No torch here."""

from pathlib import Path


def names() -> tuple[str, ...]:
    """Names of all measures, sorted; files that start with an underscore are helpers."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))

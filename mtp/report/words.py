"""How axes, values and amounts are written, in tables and figures alike. No torch here."""

import re
from collections.abc import Iterable
from typing import Any


def axis_title(axis: str) -> str:
    """An axis in the paper's words; `start.n_future` is that of the run which a run starts from."""
    if axis.startswith("start."):
        return f"{axis_title(axis.removeprefix('start.'))} before"
    return {"n_future": "n"}.get(axis, axis.replace("_", " "))


def value_title(axis: str | None, value: Any) -> str:
    """A value of an axis in a figure: "n = 4", "6.7B"."""
    if axis == "heads_used":
        return f"k {value}" if value == "chosen" else f"k = {value}"
    if axis == "start.n_future":
        return f"n = {value} before"
    return f"n = {value}" if axis == "n_future" else str(value)


def grouped(reasons: Iterable[str]) -> list[str]:
    """Each reason once; "size 3B is not run ..." and "size 13B is not run ..." become one sentence."""
    told: dict[str, list[str]] = {}
    for reason in dict.fromkeys(reasons):
        match = re.fullmatch(r"([\w.]+) (\S+) is (not run at the \S+ scale)", reason)
        start, value = (f"{match[3]}: {axis_title(match[1])}", [match[2]]) if match else (reason, [])
        told.setdefault(start, []).extend(value)
    return [f"{start} {', '.join(values)}".strip() for start, values in told.items()]

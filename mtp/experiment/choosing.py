"""Which grid points are set against which: chosen by axis values, paired by the axes not named. No torch here."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment.points import Experiment, Point


def same(a: Any, b: Any) -> bool:
    """Whether two labels name one thing: as numbers where both are numbers (1, "1", 1.0), else as text."""
    try:
        return float(a) == float(b)
    except (TypeError, ValueError):
        return str(a).strip() == str(b).strip()


def selects(where: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether all of `where` stands among `labels`."""
    return all(key in labels and same(labels[key], value) for key, value in where.items())


def points_of(experiment: Experiment) -> tuple[Point, ...]:
    """The rows of the table: grid points that differ only in their seed are one.

    Raises:
        UserError: an axis of `rows` does not exist, or `rows` leaves out an axis that tells points apart.
    """
    merged: dict[str, Point] = {}
    for point in experiment.points:
        key = json.dumps([point.arm, point.axes], sort_keys=True, default=str)
        known = merged.get(key)
        merged[key] = dataclasses.replace(point, runs=known.runs + point.runs) if known else point
    rows: dict[tuple[str, ...], Point] = {}
    known_axes = dict.fromkeys(axis for point in merged.values() for axis in point.axes)
    for axis in experiment.axes:
        if axis not in known_axes:
            raise UserError(f"{experiment.path}: rows: no axis {axis!r}{nearest(axis, known_axes)}")
    for point in merged.values():
        row = tuple(str(point.axes.get(axis, "")) for axis in experiment.axes)
        if row in rows:
            apart = [a for a in known_axes if point.axes.get(a) != rows[row].axes.get(a)]
            raise UserError(f"{experiment.path}: rows: two grid points share the row {row}; add {' or '.join(apart)}")
        rows[row] = point
    return tuple(rows.values())


def chosen(experiment: Experiment, where: Mapping[str, Any], key: str) -> list[Point]:
    """The points with these axis values.

    Raises:
        UserError: no such axis or value; names YAML and key.
    """
    points = points_of(experiment)
    for axis, value in where.items():
        axes = dict.fromkeys(a for p in points for a in p.axes)
        if axis not in axes:
            raise UserError(f"{experiment.path}: {key}: no axis {axis!r}{nearest(axis, axes)}")
        values = dict.fromkeys(str(p.axes[axis]) for p in points if axis in p.axes)
        if not any(same(value, v) for v in values):
            hint = nearest(str(value), values)
            raise UserError(
                f"{experiment.path}: {key}.{axis}: no point has {value!r}{hint} (values: {', '.join(values)})"
            )
    found = [p for p in points if selects(where, p.axes)]
    if not found:
        raise UserError(f"{experiment.path}: {key}: no point has all of {dict(where)}")
    return found


def paired(
    experiment: Experiment, these: Mapping[str, Any], than: Mapping[str, Any], keys: tuple[str, str]
) -> list[tuple[Point, Point]]:
    """Points to compare: those that agree on every axis of the table which neither side names.

    Raises:
        UserError: nothing can be paired; names YAML and key.
    """
    left, right = chosen(experiment, these, keys[0]), chosen(experiment, than, keys[1])
    if len(left) == 1 and len(right) == 1:
        return [(left[0], right[0])]
    rest = [axis for axis in experiment.axes if axis not in these and axis not in than]
    pairs = [(a, b) for a in left for b in right if all(same(a.axes.get(x, ""), b.axes.get(x, "")) for x in rest)]
    once = all(len({id(p) for p in side}) == len(pairs) for side in zip(*pairs, strict=True))
    if not pairs or not once:
        raise UserError(f"{experiment.path}: {keys[0]}: name more axes, so that each point has one to compare")
    return pairs

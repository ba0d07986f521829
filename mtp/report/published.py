"""The paper's numbers beside ours: rows of the CSV that an experiment names. No torch here."""

import csv
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment import Experiment, Point, Published
from mtp.experiment.choosing import selects
from mtp.report.results import Interval


@functools.cache
def _rows(path: Path) -> tuple[dict[str, str], ...]:
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def _row(experiment: Experiment, source: Published, where: Mapping[str, Any], key: str) -> dict[str, str] | None:
    """The one row that carries these values (the mean of those that `mean_over` tells apart); None if there is none.

    Raises:
        UserError: unknown column, or several rows fit; names YAML and key.
    """
    rows = _rows(experiment.path.parent / source.file)
    columns = list(rows[0]) if rows else []
    for column in (*where, *filter(None, (source.value, source.low, source.high, source.mean_over))):
        if column not in columns:
            raise UserError(
                f"{experiment.path}: {key}: {source.file} has no column {column!r}{nearest(column, columns)}"
            )
    found = [row for row in rows if selects(where, row)]
    if source.mean_over and len({row[source.mean_over] for row in found}) == len(found) > 1:
        values = [_number(experiment, source, row, source.value) for row in found]
        told = [value for value in values if value is not None]
        return {**found[0], source.value: str(math.fsum(told) / len(told)) if told else ""}
    if len(found) > 1:
        apart = [c for c in columns if len({row[c] for row in found}) > 1 and c != source.value]
        asked = ", ".join(f"{k}: {v}" for k, v in where.items())
        raise UserError(
            f"{experiment.path}: {key}: {len(found)} rows of {source.file} fit ({asked});"
            f" add a column that tells them apart ({', '.join(apart) or 'none does'})"
        )
    return found[0] if found else None


def _number(experiment: Experiment, source: Published, row: Mapping[str, str], column: str) -> float | None:
    if not column or not row[column].strip():
        return None
    try:
        return float(row[column])
    except ValueError:
        raise UserError(f"{experiment.path}: {source.file}: {column}: {row[column]!r} is not a number") from None


def value(experiment: Experiment, point: Point, key: str) -> float | None:
    """The paper's value of a metric at a point; None where it reports none.

    Raises:
        UserError: naming YAML and key.
    """
    source, metric = experiment.spec.published, experiment.spec.metrics[key]
    if source is None or metric.published is None:
        return None
    if metric.published_value:
        source = source.model_copy(update={"value": metric.published_value})
    row = _row(experiment, source, {**point.published, **metric.published}, f"metrics.{key}.published")
    return None if row is None else _number(experiment, source, row, source.value)


def rows(experiment: Experiment, file: str) -> tuple[dict[str, str], ...]:
    """All rows of a CSV beside the YAML."""
    return _rows(experiment.path.parent / file)


def difference(experiment: Experiment, figure: int, point: Point, base: Point, key: str) -> Interval | None:
    """The paper's difference of two points, with its interval where the figure's own CSV gives one.

    Raises:
        UserError: naming YAML and key.
    """
    source, metric = experiment.spec.figures[figure].published, experiment.spec.metrics[key]
    if metric.published is None:
        return None
    if source is None:
        ours, theirs = value(experiment, point, key), value(experiment, base, key)
        return None if ours is None or theirs is None else Interval(ours - theirs, None, None)
    where = {column: point.axes[axis] for column, axis in source.axes.items() if axis in point.axes}
    row = _row(experiment, source, {**where, **metric.published}, f"figures.{figure}.published")
    mean = None if row is None else _number(experiment, source, row, source.value)
    if row is None or mean is None:
        return None
    low, high = (_number(experiment, source, row, column) for column in (source.low, source.high))
    return Interval(mean, low, high)

"""The table of an experiment: a tidy CSV for programs, an HTML page for people. No torch here.

    python -m mtp.report.tables table1 --scale cpu      # results/cpu/table1.csv and table1.html

The CSV has one row per grid point and metric, whether measured or not: `status` and `reason` say why a
number is missing. Intervals are 95 % t intervals over seeds; where a step is measured, the measure's own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mtp.atomic import write_text
from mtp.experiment import HERE, Experiment, Metric
from mtp.experiment.choosing import points_of
from mtp.report import cli, comparisons, published
from mtp.report.results import COMPUTED, MEASURED, Results
from mtp.report.templates import render
from mtp.report.tidy import number, to_csv
from mtp.report.words import axis_title, grouped


def label_columns(experiment: Experiment) -> list[str]:
    """Labels by which some metric of the experiment is selected, in order of appearance."""
    labels = dict.fromkeys(label for metric in experiment.spec.metrics.values() for label in metric.where)
    return [label for label in labels if label not in experiment.axes]


def tidy(experiment: Experiment, results: Results) -> pd.DataFrame:
    """One row per point and metric, all values as text.

    Raises:
        UserError: a run's file is missing, or the paper's number cannot be told.
    """
    rows = []
    for point in points_of(experiment):
        for key, metric in experiment.spec.metrics.items():
            measured = results.measure(experiment, point, key)
            row = {axis: str(point.axes.get(axis, "")) for axis in experiment.axes}
            row |= {"metric": key, "title": metric.title}
            row |= {label: str(metric.where.get(label, "")) for label in label_columns(experiment)}
            interval = measured.interval if measured.samples else None
            row |= {
                "measured": number(interval.mean if interval else None),
                "ci_low": number(interval.low if interval else None),
                "ci_high": number(interval.high if interval else None),
                "n_seeds": str(len(measured.samples)),
                "published": number(published.value(experiment, point, key)),
                "status": measured.status,
                "reason": measured.reason,
                "runs": " ".join(run.name() for run in point.runs),
            }
            rows.append(row)
    return pd.DataFrame(rows)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One metric at one point, ready to print."""

    ours: str = ""
    spread: str = ""
    paper: str = ""
    why_not: str = ""
    best: bool = False
    sort: str = ""
    traced: bool = True
    """The number comes from the runs of its row, not from arithmetic at another scale."""
    about: str = ""
    """What else there is to say about the number."""


def _spread(row: Any, digits: int) -> str:
    """The interval as ± half its width; empty without one, and for what is counted or computed."""
    half = (float(row.ci_high) - float(row.ci_low)) / 2 if row.ci_low else 0.0
    if not half:
        return ""
    return f"± {half:.{digits}f}" if half >= 0.5 * 10**-digits else f"± <{10**-digits:.{digits}f}"


def _cell(row: Any, metric: Metric, paper_digits: int) -> Cell:
    paper = f"{float(row.published):.{paper_digits}f}" if row.published else ""
    if row.status not in (MEASURED, COMPUTED):
        # "size 3B is not run at the cpu scale" needs no "not run at this scale" before it.
        told = row.reason if "not run at the" in row.reason else f"{row.status}: {row.reason}".removesuffix(": ")
        return Cell(paper=paper, why_not=told)
    ours, traced = f"{float(row.measured):.{metric.digits}f}", metric.computed_at in ("", HERE)
    return Cell(ours, _spread(row, metric.digits), paper, sort=row.measured, traced=traced, about=row.reason)


def _paper_digits(experiment: Experiment, frame: pd.DataFrame, key: str) -> int:
    """As many digits as the paper prints of a metric, at least as many as ours; of a mean over its runs, as many."""
    metric, source = experiment.spec.metrics[key], experiment.spec.published
    if source and source.mean_over:
        return metric.digits
    printed = frame.loc[frame["metric"] == key, "published"]
    return max([metric.digits, *(len(text.partition(".")[2].rstrip("0")) for text in printed)])


def in_words(axes: Sequence[str], values: Sequence[str]) -> str:
    """A row of the table in words: ("arm", "n_future"), ("bytes", "4") -> "bytes, n 4"."""
    told = [(axis, value) for axis, value in zip(axes, values, strict=True) if value]
    return ", ".join(value if axis == "arm" else f"{axis_title(axis)} {value}" for axis, value in told)


def group_axes(experiment: Experiment) -> list[str]:
    """Axes whose equal values make a group of rows: all but the last; the first if that splits too far."""
    axes = experiment.axes[:-1]
    points = points_of(experiment)
    groups = {tuple(str(p.axes.get(a, "")) for a in axes) for p in points}
    return axes if len(groups) < len(points) else axes[:1]


def _mark_best(cells: Sequence[Cell], better: str) -> list[Cell]:
    """The best of our numbers of a group, where they differ and one can be better than another."""
    values = [float(c.ours) for c in cells if c.ours]
    if len(set(values)) < 2 or better == "neither":
        return list(cells)
    top = max(values) if better == "higher" else min(values)
    return [dataclasses.replace(c, best=bool(c.ours) and float(c.ours) == top) for c in cells]


def wide(experiment: Experiment, frame: pd.DataFrame) -> dict[str, Any]:
    """The tidy rows as a table like the paper's: one line per point, one column per metric."""
    axes, metrics = experiment.axes, experiment.spec.metrics
    cells: dict[tuple[str, ...], dict[str, Cell]] = {}
    runs: dict[tuple[str, ...], list[str]] = {}
    paper_digits = {key: _paper_digits(experiment, frame, key) for key in metrics}
    for row in frame.itertuples(index=False):
        at, key = tuple(str(v) for v in row[: len(axes)]), str(row.metric)
        cells.setdefault(at, {})[key] = _cell(row, metrics[key], paper_digits[key])
        runs[at] = str(row.runs).split()
    by = [axes.index(axis) for axis in group_axes(experiment)]
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for at in cells:
        groups.setdefault(tuple(at[i] for i in by), []).append(at)
    for members in groups.values():
        for key, metric in metrics.items():
            for at, cell in zip(members, _mark_best([cells[m][key] for m in members], metric.better), strict=True):
                cells[at][key] = cell
    lines = []
    for members in groups.values():
        for i, at in enumerate(members):
            heads = [(v, i > 0 and j in by) for j, v in enumerate(at)]
            line = {"first": i == 0, "heads": heads, "cells": list(cells[at].values())}
            lines.append(line | {"runs": runs[at], "words": in_words(axes, at)})
    reasons = grouped(c.why_not for row in cells.values() for c in row.values() if c.why_not)
    return {
        "axes": [axis_title(a) for a in axes],
        "metrics": list(metrics.values()),
        "lines": lines,
        "reasons": reasons,
        "measured": bool(experiment.spec.measure),
    }


def work(place: cli.Place) -> None:
    experiment = place.experiment
    frame = tidy(experiment, place.measured())
    write_text(place.tables / f"{experiment.name}.csv", to_csv(frame))
    page = render(
        "table.html",
        experiment=experiment,
        spec=experiment.spec,
        table=wide(experiment, frame),
        comparisons=comparisons.stored(place, experiment),
        scale=place.scale,
    )
    write_text(place.tables / f"{experiment.name}.html", page)


def main(argv: Sequence[str] | None = None) -> None:
    cli.run(work, "mtp.report.tables", __doc__, argv, wants=("experiment",))


if __name__ == "__main__":
    main()

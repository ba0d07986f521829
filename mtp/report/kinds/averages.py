"""Averages of metrics over points, such as data sets: the paper's above, ours below, over `x`, a column per `panels`.

The YAML needs `x`, `panels` and `metrics` (a row each). What else tells points apart is averaged over, seed by seed,
and only where every point of the average is measured. For the paper's averages, `published` names the CSV; its rows are
those of the columns that all averaged points share, and its `axes` lead from columns to labels of the metric
(`{metric: rouge}`). Axes do not start at 0: the values lie close together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from mtp.experiment import Point
from mtp.experiment.choosing import selects
from mtp.report import published, style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval, t_interval
from mtp.report.words import value_title

Line = dict[Any, Interval]
"""Value of x -> average."""


def _by_x(picture: Picture, points: Sequence[Point]) -> dict[Any, list[Point]]:
    axis = picture.need("x")
    return {x: [p for p in points if p.axes.get(axis) == x] for x in dict.fromkeys(p.axes[axis] for p in points)}


def _ours(picture: Picture, points: Sequence[Point], key: str) -> Line:
    line: Line = {}
    for x, averaged in _by_x(picture, points).items():
        measured = [picture.measured(p, key) for p in averaged]
        if any(m.status != MEASURED for m in measured):
            continue
        by_seed: dict[int, list[float]] = {}
        for m in measured:
            for sample in m.samples:
                by_seed.setdefault(sample.seed, []).append(sample.value)
        means = [sum(values) / len(values) for values in by_seed.values() if len(values) == len(averaged)]
        if means:
            line[x] = t_interval(means)
    return line


def _theirs(picture: Picture, points: Sequence[Point], key: str) -> Line:
    source = picture.figure.published
    if source is None:
        return {}
    rows = published.rows(picture.experiment, source.file)
    labels = {column: picture.metric(key).where.get(label) for column, label in source.axes.items()}
    line: Line = {}
    for x, averaged in _by_x(picture, points).items():
        first = averaged[0].published
        shared = {c: v for c, v in first.items() if c in rows[0] and all(p.published.get(c) == v for p in averaged)}
        found = [row for row in rows if selects({**shared, **labels}, row)]
        if len(found) == 1 and found[0][source.value].strip():
            line[x] = Interval(float(found[0][source.value]), None, None)
    return line


def _panel(axes: Axes, axis: str, xs: Sequence[Any], line: Line, looks: Mapping[Any, style.Look], digits: int) -> None:
    for x, interval in line.items():
        at, look = xs.index(x), looks[x]
        axes.plot(at, interval.mean, marker=look.marker, ms=8, color=look.color)
        if interval.low is not None and interval.high is not None:
            axes.plot([at, at], [interval.low, interval.high], color=look.color, lw=1.1)
        axes.annotate(f"{interval.mean:.{digits}f}", (at, interval.mean), xytext=(8, 0), textcoords="offset points",
                      va="center", fontsize=8.8)  # fmt: skip
    axes.set_xticks(range(len(xs)), [value_title(axis.removeprefix("start."), x) for x in xs])
    axes.set_xlim(-0.5, len(xs) - 0.3)
    axes.margins(y=0.25)
    axes.grid(axis="y")


def draw(picture: Picture) -> Drawing:
    axis = picture.need("x")
    picture.need("panels")
    if not picture.figure.metrics:
        raise picture.error("metrics", "averages needs at least one metric")
    xs = picture.values(axis, "x")
    looks = style.looks(axis.removeprefix("start."), xs)
    columns = picture.split()
    rows: list[tuple[str, str, list[Line]]] = []
    for key in picture.figure.metrics:
        for source, values in (("published (paper scale)", _theirs), (f"ours, {picture.scale} scale", _ours)):
            lines = [values(picture, points, key) for points in columns.values()]
            if any(lines):
                rows.append((key, source, lines))
    told = [*picture.not_run(), *picture.without(picture.figure.metrics)]
    if not rows:
        return style.sentence(picture.title, " ".join(told) or f"Not run at the {picture.scale} scale.")
    figure, axes = style.grid(len(rows), len(columns), 3.6, 2.2)
    for (key, source, lines), row in zip(rows, axes, strict=True):
        for ax, name, line in zip(row, columns, lines, strict=True):
            ax.set_title(f"{name}\n{source}")
            _panel(ax, axis, xs, line, looks, picture.metric(key).digits)
        style.y_title(row[0], picture.metric(key).title)
    style.heading(figure, picture.title)
    ours = [f"Ours: {picture.basis()} its 95 % interval."] if any(p.runs for p in picture.points) else []
    style.note(figure, [*ours, "Axes do not start at 0.", *told])
    return figure

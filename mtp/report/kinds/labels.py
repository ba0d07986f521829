"""Metrics against one of their labels, such as heads in use or batch size: the paper's above, ours below.

`x` names the label. A line per value of the label `hue`, or without one a line per metric; a column per point that is
run. Of a metric's `where`, these two labels are left open. For the paper's panel, `published` names the CSV, and its
`axes` the columns of the two labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from mtp.experiment import Point
from mtp.experiment.choosing import selects
from mtp.report import published, style
from mtp.report.picture import Picture
from mtp.report.results import Interval, t_interval
from mtp.report.words import value_title

Line = dict[float, Interval]
"""Number at every value of the label on the x axis."""


def _name(picture: Picture, key: str, labels: Mapping[str, Any]) -> str:
    """What a line is called: nothing where there is only one."""
    hue = picture.figure.hue
    if hue:
        return value_title(hue, labels[hue])
    return _title(picture, key) if len(picture.figure.metrics) > 1 else ""


def _title(picture: Picture, key: str) -> str:
    """A metric's title without the labels that stand behind its comma ("speed, k = 4")."""
    return picture.metric(key).title.split(",")[0]


def _lines(found: Mapping[str, Mapping[float, Sequence[float]]]) -> dict[str, Line]:
    return {name: {x: t_interval(values) for x, values in sorted(line.items())} for name, line in found.items()}


def _ours(picture: Picture, point: Point) -> dict[str, Line]:
    found: dict[str, dict[float, list[float]]] = {}
    hue = [picture.figure.hue] if picture.figure.hue else []
    for key in picture.figure.metrics:
        for x, entry in picture.along(point, key, str(picture.figure.x), *hue):
            found.setdefault(_name(picture, key, entry), {}).setdefault(x, []).append(float(entry["value"]))
    return _lines(found)


def _theirs(picture: Picture) -> dict[str, Line]:
    source = picture.figure.published
    if source is None:
        return {}
    found: dict[str, dict[float, list[float]]] = {}
    columns = {label: column for column, label in source.axes.items()}
    for key in picture.figure.metrics:
        metric = picture.metric(key)
        if metric.published is None:
            continue
        chosen = {column: v for column, v in metric.published.items() if column not in source.axes}
        for row in published.rows(picture.experiment, source.file):
            if selects(chosen, row):
                labels = {label: _number(row[column]) for label, column in columns.items()}
                line = found.setdefault(_name(picture, key, labels), {})
                line.setdefault(float(labels[picture.figure.x or ""]), []).append(float(row[source.value]))
    return _lines(found)


def _number(text: str) -> float | int:
    return int(text) if text.isdigit() else float(text)


def _panel(axes: Axes, lines: Mapping[str, Line], looks: Mapping[str, style.Look]) -> None:
    ends = []
    for name, line in lines.items():
        look, xs = looks[name], list(line)
        axes.plot(xs, [line[x].mean for x in xs], color=look.color, ls=look.dash, marker=look.marker, ms=4)
        for x, interval in line.items():
            if interval.low is not None and interval.high is not None:
                axes.plot([x, x], [interval.low, interval.high], color=look.color, lw=1.1)
        ends += [(xs[-1], line[xs[-1]].mean, name, look.color)] if name else []
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    style.label_ends(axes, ends)


def draw(picture: Picture) -> Drawing:
    if not picture.figure.x or not picture.figure.metrics:
        raise picture.error("x", "missing; a figure of kind labels needs a label on the x axis, and metrics")
    by = [picture.figure.panels] if picture.figure.panels else picture.experiment.axes
    columns = {
        " ".join(value_title(axis, p.axes[axis]) for axis in by if axis in p.axes): _ours(picture, p)
        for p in picture.points
        if p.runs
    }
    panels = [("published (paper scale)", theirs)] if (theirs := _theirs(picture)) else []
    only = len(columns) == 1
    panels += [
        (f"ours, {picture.scale} scale" if only else f"{name}\nours, {picture.scale} scale", lines)
        for name, lines in columns.items()
        if lines
    ]
    told = [*picture.without(picture.figure.metrics), *picture.not_run()]
    if not panels:
        return style.sentence(picture.title, " ".join(told) or f"Not run at the {picture.scale} scale.")
    looks = style.looks(picture.figure.hue or "", list(dict.fromkeys(name for _, lines in panels for name in lines)))
    figure, axes = style.grid(1, len(panels), max(3.6, 7.0 / len(panels)), 3.2)
    for ax, (title, lines) in zip(axes[0], panels, strict=True):
        ax.set_title(title)
        ax.set_xlabel(picture.figure.x.replace("_", " "))
        _panel(ax, lines, looks)
    if picture.figure.hue:
        style.y_title(axes[0][0], _title(picture, picture.figure.metrics[0]), 40)
    style.heading(figure, picture.title)
    style.note(figure, [f"Ours: {picture.basis()} its 95 % interval (bars).", *told])
    return figure

"""Metrics against one of their labels, such as training steps or the temperature, a line per value of the axis `hue`.

The YAML needs `x` (the label), `hue` (an axis) and `metrics`; `panels` is another axis. A panel per metric and value of
`panels`: the paper's first, ours after them. A metric whose name in the evaluation is `chance` gets no panel: it is a
dashed line in ours, in the panels of the metrics with which its `where` agrees. Of a metric's `where` the label on the
x axis is left open. The paper's numbers are the rows of the experiment's CSV that fit the point and the metric; their
column for the x axis bears the name of the label.
"""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mtp.experiment import Point
from mtp.experiment.choosing import same, selects
from mtp.report import published, style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval, t_interval
from mtp.report.words import value_title
from mtp.units import amount

CHANCE = "chance"
COLUMNS = 4
"""Panels side by side."""
Line = dict[float, Interval]
"""Number at every value of the label on the x axis."""


def _ours(picture: Picture, point: Point, key: str) -> Line:
    found: dict[float, list[float]] = {}
    for place, entry in picture.along(point, key, str(picture.figure.x)):
        found.setdefault(place, []).append(float(entry["value"]))
    return {place: t_interval(values) for place, values in sorted(found.items())}


def _theirs(picture: Picture, point: Point, key: str) -> Line:
    source, metric = picture.experiment.spec.published, picture.metric(key)
    if source is None or metric.published is None:
        return {}
    column, value = str(picture.figure.x), metric.published_value or source.value
    where = {c: v for c, v in {**point.published, **metric.published}.items() if c != column}
    found: dict[float, list[float]] = {}
    for row in published.rows(picture.experiment, source.file):
        if row.get(column, "").strip() and selects(where, row):
            found.setdefault(float(row[column]), []).append(float(row[value]))
    return {place: Interval(math.fsum(values) / len(values), None, None) for place, values in sorted(found.items())}


def _chance(picture: Picture, points: Sequence[Point], drawn: str) -> float | None:
    """Mean chance of a metric over the points that are run; None where the figure names none for it."""
    labels = picture.metric(drawn).where
    for key in picture.figure.metrics:
        metric = picture.metric(key)
        if metric.metric == CHANCE and all(same(labels[k], v) for k, v in metric.where.items() if k in labels):
            found = [m.interval.mean for p in points if (m := picture.measured(p, key)).status == MEASURED]
            if found:
                return math.fsum(found) / len(found)
    return None


def _panel(axes: Axes, lines: Mapping[str, tuple[style.Look, Line]], chance: float | None) -> None:
    places = sorted({place for _, line in lines.values() for place in line})
    span = (places[-1] - places[0]) or 1.0
    ends = []
    for i, (name, (look, line)) in enumerate(lines.items()):
        # Intervals of neighbours would hide each other: lines stand 1 % apart.
        xs = [place + 0.01 * span * (i - (len(lines) - 1) / 2) for place in line]
        axes.plot(xs, [n.mean for n in line.values()], color=look.color, ls=look.dash, marker=look.marker, ms=4)
        for x, interval in zip(xs, line.values(), strict=True):
            if interval.low is not None and interval.high is not None:
                axes.plot([x, x], [interval.low, interval.high], color=look.color, lw=1.1)
        ends.append((xs[-1], list(line.values())[-1].mean, name, look.color))
    if chance is not None:
        axes.axhline(chance, color=style.QUIET, lw=1, ls="--")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if places[-1] >= 1000:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))
    axes.grid(axis="y")
    axes.set_ylim(axes.get_ylim())  # names of lines are placed by the final limits
    style.label_ends(axes, ends)


def draw(picture: Picture) -> Drawing:
    hue = picture.need("hue")
    if not picture.figure.x or not picture.figure.metrics:
        raise picture.error("x", "missing; a figure of kind label_curves needs a label on the x axis, and metrics")
    looks = style.looks(hue, picture.values(hue, "hue"))
    keys = [key for key in picture.figure.metrics if picture.metric(key).metric != CHANCE]
    panels: list[tuple[str, str, dict[str, tuple[style.Look, Line]], float | None]] = []
    for numbers, whose in ((_theirs, "published (paper scale)"), (_ours, f"ours, {picture.scale} scale")):
        for value, points in picture.split().items():
            for key in keys:
                drawn = [(p.axes[hue], numbers(picture, p, key)) for p in points if hue in p.axes]
                lines = {value_title(hue, v): (looks[v], line) for v, line in drawn if line}
                if lines:
                    where = f"{value_title(picture.figure.panels or '', value)}\n" if value != "" else ""
                    chance = _chance(picture, points, key) if numbers is _ours else None
                    panels.append((f"{where}{whose}", picture.metric(key).title, lines, chance))
    told = [*picture.without(keys), *picture.not_run()]
    if not panels:
        return style.sentence(picture.title, " ".join(told) or f"Not run at the {picture.scale} scale.")
    columns = min(len(panels), len(keys) if 1 < len(keys) <= COLUMNS else COLUMNS)
    rows = -(-len(panels) // columns)
    figure, axes = style.grid(rows, columns, max(3.2, 7.6 / columns), 2.9)
    flat = [ax for line in axes for ax in line]
    for ax, (title, metric, lines, chance) in zip(flat, panels, strict=False):
        ax.set_title(title)
        ax.set_xlabel(picture.figure.x.replace("_", " "))
        style.y_title(ax, metric.split(",")[0], 30)
        _panel(ax, lines, chance)
    for ax in flat[len(panels) :]:
        ax.set_visible(False)
    style.heading(figure, picture.title)
    ours = any(title.endswith(f"ours, {picture.scale} scale") for title, *_ in panels)
    dashed = " Dashed: chance." if any(chance is not None for *_, chance in panels) else ""
    style.note(figure, [*([f"Ours: {picture.basis()} its 95 % interval (bars).{dashed}"] if ours else []), *told])
    return figure

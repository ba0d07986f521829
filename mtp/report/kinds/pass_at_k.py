"""pass@k against k, both axes logarithmic: the paper's curves above, ours below with a band over seeds (Figure 4).

The YAML needs `hue`, an axis of the grid (or `arm`), and one of `metrics`, of whose `where` the label `k` is left open.
For the paper's panel, `published` names the CSV, its column of values and, in `axes`, the column of k; its rows are
those of the point. A pass@k of 0 has no place on a logarithmic axis: where one is to be drawn, the axis is linear.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, NullLocator

from mtp.experiment import Point
from mtp.experiment.choosing import selects
from mtp.report import published, style
from mtp.report.picture import Picture
from mtp.report.results import Interval, t_interval
from mtp.report.words import value_title

K = "k"
Curve = dict[int, Interval]


def _ours(picture: Picture, point: Point, key: str) -> Curve:
    found: dict[int, list[float]] = {}
    for k, entry in picture.along(point, key, K):
        found.setdefault(int(k), []).append(float(entry["value"]))
    return {k: t_interval(values) for k, values in sorted(found.items())}


def _theirs(picture: Picture, point: Point) -> Curve:
    source = picture.figure.published
    if source is None or not point.published:
        return {}
    (column,) = [column for column, label in source.axes.items() if label == K]
    rows = [row for row in published.rows(picture.experiment, source.file) if selects(point.published, row)]
    return {
        k: Interval(v, None, None) for k, v in sorted((int(float(r[column])), float(r[source.value])) for r in rows)
    }


def _panel(axes: Axes, curves: Mapping[Any, Curve], looks: Mapping[Any, style.Look], hue: str) -> None:
    ends = []
    logarithmic = all(i.mean > 0 for curve in curves.values() for i in curve.values())
    for value, curve in curves.items():
        look, ks = looks[value], list(curve)
        many = len(ks) > 12  # the vertices of a line, not measured points
        means = [curve[k].mean for k in ks]
        axes.plot(ks, means, color=look.color, ls=look.dash, marker="" if many else look.marker, ms=4)
        banded = [k for k in ks if curve[k].low is not None]
        lows = [max(curve[k].low or 0.0, min(means) / 4 if logarithmic else 0.0) for k in banded]
        axes.fill_between(
            banded, lows, [min(100.0, curve[k].high or 0.0) for k in banded], color=look.color, alpha=0.13, lw=0
        )
        ends.append((ks[-1], curve[ks[-1]].mean, value_title(hue, value), look.color))
    axes.set_xscale("log")
    ticks = sorted({k for curve in curves.values() for k in curve})
    axes.set_xticks(ticks if len(ticks) <= 8 else [k for k in (1, 10, 100, 1000) if k <= max(ticks)])
    plain = FuncFormatter(lambda number, _: f"{number:g}")
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_locator(NullLocator())
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    style.label_ends(axes, ends)


def draw(picture: Picture) -> Drawing:
    hue = picture.need("hue")
    if len(picture.figure.metrics) != 1:
        raise picture.error("metrics", "pass_at_k draws exactly one metric")
    (key,) = picture.figure.metrics
    looks = style.looks(hue, picture.values(hue, "hue"))
    panels = []
    for title, curves in (
        ("published (paper scale)", {p.axes[hue]: _theirs(picture, p) for p in picture.points}),
        (f"ours, {picture.scale} scale", {p.axes[hue]: _ours(picture, p, key) for p in picture.points if p.runs}),
    ):
        if drawn := {value: curve for value, curve in curves.items() if curve}:
            panels.append((title, drawn))
    told = [*picture.without([key]), *picture.not_run()]
    if not panels:
        return style.sentence(picture.title, " ".join(told) or f"Not run at the {picture.scale} scale.")
    figure, axes = style.grid(1, len(panels), max(4.4, 8.0 / len(panels)), 3.4)
    for ax, (title, curves) in zip(axes[0], panels, strict=True):
        ax.set_title(title)
        ax.set_xlabel("k, samples per problem")
        _panel(ax, curves, looks, hue)
    style.y_title(axes[0][0], "problems solved, %", 40)
    style.heading(figure, picture.title)
    ours = [f"Ours: {picture.basis()} its 95 % interval (band)."] if any(p.runs for p in picture.points) else []
    style.note(figure, [*ours, *told])
    return figure

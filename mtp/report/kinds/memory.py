"""Memory of a step against `x`: a line per `hue`, a panel per `panels`, and the floor below them.

The YAML needs `x` (numbers, such as n), `hue` and `metrics: [peak, floor]`: the second is arithmetic, the same for
every line. Both axes are logarithmic, since what doubles should look alike everywhere.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval
from mtp.report.words import axis_title

ASIDE = 1.05
"""Lines that lie on each other stand this far apart, so that all can be seen."""


def _series(picture: Picture, points: Sequence[Point], key: str) -> list[tuple[float, Interval]]:
    """(x, interval) of the points that were measured, by x; one per x."""
    axis = picture.need("x")
    found: dict[float, Interval] = {}
    for point in points:
        measured = picture.measured(point, key)
        if measured.status == MEASURED:
            found.setdefault(float(point.axes[axis]), measured.interval)
    return sorted(found.items())


def _panel(axes: Axes, picture: Picture, points: Sequence[Point]) -> None:
    peak, floor = picture.figure.metrics
    hue = picture.need("hue")
    looks = style.looks(hue, picture.values(hue, "hue"))
    ends: list[tuple[float, float, str, str]] = []
    for i, (value, look) in enumerate(looks.items()):
        data = _series(picture, [p for p in points if p.axes[hue] == value], peak)
        if not data:
            continue
        xs = [x * ASIDE ** (i - (len(looks) - 1) / 2) for x, _ in data]
        ys = [interval.mean for _, interval in data]
        axes.plot(xs, ys, color=look.color, ls=look.dash, marker=look.marker, mec="white", mew=0.6)
        for x, (_, interval) in zip(xs, data, strict=True):
            if interval.low is not None and interval.high is not None:
                axes.plot([x, x], [interval.low, interval.high], color=look.color, lw=1.1)
        ends.append((xs[-1], ys[-1], str(value), look.color))
    if data := _series(picture, points, floor):
        xs, ys = [x for x, _ in data], [interval.mean for _, interval in data]
        axes.plot(xs, ys, color=style.QUIET, lw=1.2, ls=(0, (1, 1.5)), zorder=0)
        ends.append((xs[-1], ys[-1], "floor", style.QUIET))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({float(p.axes[picture.need("x")]) for p in points if p.runs})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(axis_title(picture.need("x")))
    axes.grid(axis="y")
    style.label_ends(axes, ends)


def draw(picture: Picture) -> Drawing:
    picture.need("x")
    picture.need("hue")
    if len(picture.figure.metrics) != 2:
        raise picture.error("metrics", "memory needs two metrics: the peak and its floor")
    peak = picture.figure.metrics[0]
    panels = {
        name: points
        for name, points in picture.split().items()
        if any(picture.measured(p, peak).status == MEASURED for p in points)
    }
    missing = [*picture.without([peak]), *picture.not_run()]
    if not panels:
        return style.sentence(picture.title, " ".join(missing))
    figure, axes = style.grid(1, len(panels), max(3.6, 7.0 if len(panels) == 1 else 0), 3.4)
    for ax, (name, points) in zip(axes[0], panels.items(), strict=True):
        _panel(ax, picture, points)
        ax.set_title(str(name))
    style.y_title(axes[0][0], picture.metric(peak).title, 40)
    style.heading(figure, picture.title)
    style.note(figure, ["Both axes are logarithmic; lines are moved apart a little. Bars: all repeats.", *missing])
    return figure

"""Metrics against model size: the paper's in panels at the left, ours at the right, a line per `hue`.

The YAML needs `x: size`, `hue` and `metrics`. If the paper reports none of these metrics, its panel shows the
metrics of the table that it does report (at most two). A metric whose name in the evaluation is `chance` gets no panel
of its own: it is a dashed line in ours.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullFormatter, NullLocator

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval
from mtp.report.words import value_title
from mtp.units import amount


def nominal(rung: Any, place: int) -> float:
    """Parameters that a rung's name promises ("6.7B"); its place among the rungs if it promises none."""
    match = re.fullmatch(r"([\d.]+)\s*([kMBT])", str(rung))
    return float(match[1]) * {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[match[2]] if match else 2.0**place


def _lines(
    axes: Axes,
    picture: Picture,
    number: Callable[[Point], Interval | None],
    place: Callable[[Point], float],
    tick: Callable[[Point], str],
) -> None:
    axis, hue = picture.need("x"), picture.need("hue")
    looks = style.looks(hue, picture.values(hue, "hue"))
    ticks: dict[float, str] = {}
    ends: list[tuple[float, float, str, str]] = []
    for i_hue, (value, look) in enumerate(looks.items()):
        # Intervals of neighbours would hide each other: lines stand 2 % apart.
        drawn = [(place(p), i, p) for p in picture.points if p.axes.get(hue) == value and (i := number(p)) is not None]
        aside = 1.02 ** (i_hue - (len(looks) - 1) / 2) if any(i.low is not None for _, i, _ in drawn) else 1.0
        drawn.sort(key=lambda d: d[0])
        if not drawn:
            continue
        xs, ys = [x * aside for x, _, _ in drawn], [i.mean for _, i, _ in drawn]
        axes.plot(xs, ys, color=look.color, ls=look.dash, marker=look.marker, mec="white", mew=0.6)
        for x, interval, point in drawn:
            ticks[x] = tick(point)
            if interval.low is not None and interval.high is not None:
                axes.plot([x * aside] * 2, [interval.low, interval.high], color=look.color, lw=1.1)
        ends.append((xs[-1], ys[-1], value_title(hue, value), look.color))
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(list(ticks), list(ticks.values()))
    low, _ = axes.get_xlim()
    axes.set_xlim(low, max(ticks) * 1.06)
    axes.grid(axis="y")
    style.label_ends(axes, ends)
    axes.set_xlabel(f"{axis} of the paper" if tick(picture.points[0]).count("\n") == 0 else "non-embedding parameters")


def _ours(picture: Picture, key: str) -> Callable[[Point], Interval | None]:
    def number(point: Point) -> Interval | None:
        measured = picture.measured(point, key)
        return measured.interval if measured.status == MEASURED else None

    return number


def _paper(picture: Picture, key: str) -> Callable[[Point], Interval | None]:
    def number(point: Point) -> Interval | None:
        value = picture.published(point, key)
        return None if value is None else Interval(value, None, None)

    return number


def _chance(axes: Axes, picture: Picture, key: str) -> None:
    """A dashed line at the mean over all points, which hardly differ."""
    found = [measured.interval.mean for p in picture.points if (measured := picture.measured(p, key)).samples]
    if found:
        mean = sum(found) / len(found)
        axes.axhline(mean, color=style.QUIET, lw=1, ls="--")
        axes.annotate(
            "chance", (0, mean), xycoords=axes.get_yaxis_transform(), xytext=(3, 2), textcoords="offset points",
            fontsize=8.5, color=style.QUIET,
        )  # fmt: skip


def draw(picture: Picture) -> Drawing:
    axis = picture.need("x")
    rungs = picture.values(axis, "x")
    theirs = picture.metrics_with_published()[:2]
    chances = [key for key in picture.figure.metrics if picture.metric(key).metric == "chance"]
    ours = [key for key in picture.figure.metrics if picture.has_ours(key) and key not in chances]
    missing = [*picture.without(picture.figure.metrics), *picture.not_run()]
    if not theirs and not ours:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    panels: Sequence[tuple[str, bool]] = [*((k, False) for k in theirs), *((k, True) for k in ours)]
    figure, axes = style.grid(1, len(panels), 7.0 if len(panels) == 1 else max(3.5, 9.2 / len(panels)), 3.4)
    for ax, (key, is_ours) in zip(axes[0], panels, strict=True):
        if is_ours:
            _lines(
                ax,
                picture,
                _ours(picture, key),
                lambda p: float(p.runs[0].non_embedding_parameters),
                lambda p: f"{p.axes[axis]} rung\n{amount(p.runs[0].non_embedding_parameters)}" if p.runs else "\n",
            )
            for chance in chances:
                _chance(ax, picture, chance)
        else:
            _lines(
                ax,
                picture,
                _paper(picture, key),
                lambda p: nominal(p.axes[axis], rungs.index(p.axes[axis])),
                lambda p: str(p.axes[axis]),
            )
        ax.set_title(f"ours, {picture.scale} scale" if is_ours else "published (paper scale)")
        style.y_title(ax, picture.metric(key).title, 30)
    style.heading(figure, picture.title)
    style.note(
        figure,
        [*([f"Ours: {picture.basis()} its 95 % interval (bars)."] if ours else []), *missing],
    )
    return figure

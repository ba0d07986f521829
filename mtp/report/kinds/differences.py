"""What `against` changes relative to `baseline`, per value of `x`: ours paired by seed, and the paper's.

The YAML needs `x`, `baseline`, `against` and `metrics`; `published` may name a CSV with the paper's
differences and their intervals.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from mtp.experiment import Point
from mtp.experiment.choosing import paired
from mtp.report import published, style
from mtp.report.claims import differences
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval, t_interval
from mtp.report.words import value_title

BETTER, WORSE = style.COLORS[0], style.COLORS[3]

Bar = tuple[Any, Interval, float | None]
"""Value of x, difference, value of the baseline."""


def pairs(picture: Picture) -> list[tuple[Point, Point]]:
    """(against, baseline) for every value of x."""
    keys = (f"figures.{picture.index}.against", f"figures.{picture.index}.baseline")
    return paired(picture.experiment, picture.figure.against, picture.figure.baseline, keys)


def _ours(picture: Picture, key: str) -> list[Bar]:
    bars: list[Bar] = []
    for point, base in pairs(picture):
        both = picture.measured(point, key), picture.measured(base, key)
        values = differences([both]) if all(m.status == MEASURED for m in both) else []
        if values:
            bars.append((point.axes[picture.need("x")], t_interval(values), both[1].interval.mean))
    return bars


def _paper(picture: Picture, key: str) -> list[Bar]:
    bars: list[Bar] = []
    for point, base in pairs(picture):
        interval = published.difference(picture.experiment, picture.index, point, base, key)
        if interval is not None:
            bars.append((point.axes[picture.need("x")], interval, picture.published(base, key)))
    return bars


def _panel(axes: Axes, picture: Picture, key: str, bars: Sequence[Bar], filled: bool) -> None:
    axis, metric = picture.need("x"), picture.metric(key)
    sign = 1 if metric.better == "higher" else -1
    for at, (_, interval, _base) in enumerate(bars):
        good = interval.mean * sign >= 0
        color = BETTER if good else WORSE
        if filled:
            axes.bar(
                at,
                interval.mean,
                width=0.66,
                color=color,
                edgecolor="white",
                lw=0.5,
                hatch="" if good else "//",
            )
        else:
            axes.bar(at, interval.mean, width=0.66, color="white", edgecolor=color, lw=1.6, hatch="")
        ends = [interval.mean]
        if interval.low is not None and interval.high is not None:
            error = [[interval.mean - interval.low], [interval.high - interval.mean]]
            axes.errorbar(at, interval.mean, yerr=error, color=style.INK, lw=1.1, capsize=3.5, capthick=1.1)
            ends += [interval.low, interval.high]
        up = interval.mean >= 0
        axes.annotate(
            f"{interval.mean:+.{metric.digits}f}".replace("-", "\N{MINUS SIGN}"),
            (at, max(ends) if up else min(ends)),
            xytext=(0, 3 if up else -3),
            textcoords="offset points",
            ha="center",
            va="bottom" if up else "top",
            fontsize=8.8,
        )
    axes.axhline(0, color=style.INK, lw=0.9)
    axes.margins(y=0.16)
    names = [value_title(axis, x) + (f"\n{base:.{metric.digits}f}" if base is not None else "") for x, _, base in bars]
    axes.set_xticks(range(len(bars)), names)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.spines["bottom"].set_visible(False)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    arrow = "up is better" if sign > 0 else "down is better"
    style.y_title(axes, f"Δ {metric.title}\n({arrow})")


def _names(where: dict[str, Any]) -> str:
    return ", ".join(
        value_title(axis, value) if axis == "n_future" else f"{axis} {value}" for axis, value in where.items()
    )


def draw(picture: Picture) -> Drawing:
    axis = picture.need("x")
    for key in ("baseline", "against"):
        if not getattr(picture.figure, key):
            raise picture.error(key, "missing; a figure of kind differences needs the points to compare")
    ours = [(key, bars) for key in picture.figure.metrics if (bars := _ours(picture, key))]
    theirs = [(key, bars) for key in picture.metrics_with_published() if (bars := _paper(picture, key))]
    missing = [*picture.without(picture.figure.metrics), *picture.not_run()]
    if not ours and not theirs:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    rows = [row for row in (ours, theirs) if row]
    columns = max(len(row) for row in rows)
    figure, axes = style.grid(len(rows), columns, 9.2 / columns if columns > 1 else 6.5, 3.0)
    for line, row in zip(axes, rows, strict=True):
        for ax, (key, bars) in zip(line, row, strict=False):
            _panel(ax, picture, key, bars, filled=row is ours)
            ax.set_title(f"ours, {picture.scale} scale" if row is ours else "published (paper scale)")
        for ax in line[len(row) :]:
            ax.remove()
    style.heading(figure, picture.title)
    source, base = picture.figure.published, _names(picture.figure.baseline)
    told = [
        f"{_names(picture.figure.against)} minus {base}; below each {axis}: the value of {base}."
        " Blue: better; orange: worse."
    ]
    if ours:
        told.append(f"Ours: 95 % intervals of differences paired by seed, {picture.seeds()} seeds.")
    if theirs and source and source.low:
        told.append(f"Published: the paper's {source.level} % intervals.")
    style.note(figure, [" ".join(told), *missing])
    return figure

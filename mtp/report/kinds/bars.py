"""Bars of metrics over `x`: ours with a dot per seed and the 95 % interval, the paper's in rows of their own.

Where our values lie close together, bars from 0 would look alike: then the means are markers on an axis that
is cut, which bars must not be. The YAML needs `x` and `metrics`; `panels` is an axis. A metric whose name in the
evaluation is `chance` gets no row of its own: it is a dashed line in ours.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED
from mtp.report.words import value_title

CLOSE = 0.35
"""Values that differ by less than this share of the highest are drawn on a cut axis."""


CHANCE = "chance"
ROOM = 11
"""Letters per inch of a panel that fit side by side below it; more are written at a slant."""


def _frame(axes: Axes, xs: Sequence[Any], axis: str) -> None:
    titles = [value_title(axis, x) for x in xs]
    axes.set_xticks(range(len(xs)), titles)
    inches = axes.get_window_extent().width / axes.figure.dpi
    if sum(map(len, titles)) > ROOM * inches:
        for label in axes.get_xticklabels():
            label.set(rotation=25, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(xs) - 0.4)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _value(axes: Axes, x: float, y: float, text: str) -> None:
    axes.annotate(
        text.replace("-", "\N{MINUS SIGN}"),
        (x, y),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8.8,
    )


def _extent(picture: Picture, points: Sequence[Point], key: str) -> tuple[float, float]:
    """Lowest and highest of seeds and interval ends."""
    ends: list[float] = []
    for point in points:
        measured = picture.measured(point, key)
        if measured.status == MEASURED:
            interval = measured.interval
            ends += [s.value for s in measured.samples]
            ends += [e for e in (interval.mean, interval.low, interval.high) if e is not None]
    return min(ends), max(ends)


def _ours(axes: Axes, picture: Picture, points: Sequence[Point], key: str, xs: Sequence[Any], cut: bool) -> None:
    axis, metric = picture.need("x"), picture.metric(key)
    looks = style.looks(axis, picture.values(axis, "x"))
    for point in points:
        at, look = xs.index(point.axes[axis]), looks[point.axes[axis]]
        measured = picture.measured(point, key)
        if measured.status != MEASURED:
            axes.text(
                at,
                0.04,
                measured.status.removesuffix(" at this scale"),
                transform=axes.get_xaxis_transform(),
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=8.5,
                color=style.QUIET,
            )
            continue
        interval, seeds = measured.interval, [s.value for s in measured.samples]
        if cut:
            axes.plot(at, interval.mean, marker=look.marker, ms=8, color=look.color)
        else:
            axes.bar(at, interval.mean, width=0.7, color=look.color, hatch=look.hatch, edgecolor="white", lw=0.5)
        color = look.color if cut else style.INK
        if interval.low is not None and interval.high is not None:
            ends = [[interval.mean - interval.low], [interval.high - interval.mean]]
            axes.errorbar(at, interval.mean, yerr=ends, color=color, lw=1.3, capsize=4, capthick=1.3)
        beside = [at + 0.24 + 0.05 * (i % 2) for i in range(len(seeds))]
        axes.scatter(beside, seeds, s=13, color="white", edgecolor=color, lw=0.9, zorder=3)
        high = max([interval.mean if interval.high is None else interval.high, *([] if cut else seeds)])
        _value(axes, at, high, f"{interval.mean:.{metric.digits}f}")


def _paper(axes: Axes, picture: Picture, points: Sequence[Point], key: str, xs: Sequence[Any]) -> None:
    axis, metric = picture.need("x"), picture.metric(key)
    looks = style.looks(axis, picture.values(axis, "x"))
    for point in points:
        value = picture.published(point, key)
        if value is None:
            continue
        at, look = xs.index(point.axes[axis]), looks[point.axes[axis]]
        axes.bar(at, value, width=0.7, color="white", edgecolor=look.color, lw=1.6)
        _value(axes, at, value, f"{value:.{metric.digits}f}")


def _chance(axes: Axes, picture: Picture, points: Sequence[Point]) -> None:
    """A dashed line at the mean over the points, which hardly differ."""
    for key in picture.figure.metrics:
        if picture.metric(key).metric == CHANCE:
            found = [m.interval.mean for p in points if (m := picture.measured(p, key)).status == MEASURED]
            if found:
                axes.axhline(sum(found) / len(found), color=style.QUIET, lw=1, ls="--")


def _row(line: Sequence[Axes], picture: Picture, panels: dict[Any, list[Point]], key: str, ours: bool) -> bool:
    """One metric over all panels, on one vertical axis; returns whether that axis is cut."""
    axis = picture.need("x")
    if ours:
        low, high = _extent(picture, picture.points, key)
    else:
        low, high = 0.0, max(v for p in picture.points if (v := picture.published(p, key)) is not None)
    cut = ours and low > 0 and high - low < CLOSE * high
    room = 0.3 * (high - low) or 0.05 * high
    first: Axes | None = None
    for ax, (name, points) in zip(line, panels.items(), strict=True):
        xs = list(dict.fromkeys(p.axes[axis] for p in points))
        source = f"ours, {picture.scale} scale" if ours else "published (paper scale)"
        ax.set_title(f"{name}\n{source}" if name else source)
        if ours and not any(picture.measured(p, key).status == MEASURED for p in points):
            ax.set_axis_off()
            ax.text(0, 0.5, picture.measured(points[0], key).status, transform=ax.transAxes, color=style.QUIET)
            continue
        if ours:
            _ours(ax, picture, points, key, xs, cut)
            _chance(ax, picture, points)
        else:
            _paper(ax, picture, points, key, xs)
        _frame(ax, xs, axis)
        # Room for the value above the highest; a metric that is 0 everywhere still has an axis.
        ax.set_ylim(low - room if cut or low < 0 else 0, high + room if cut or low < 0 else (high * 1.17 or 1))
        ax.yaxis.set_tick_params(labelleft=first is None)
        if first is None:
            first = ax
            style.y_title(ax, picture.metric(key).title)
    return cut


def draw(picture: Picture) -> Drawing:
    axis = picture.need("x")
    if not picture.figure.metrics:
        raise picture.error("metrics", "bars needs at least one metric")
    panels = picture.split()
    rows: list[tuple[str, bool]] = []
    for key in picture.figure.metrics:
        if picture.metric(key).metric == CHANCE:
            continue
        if picture.has_ours(key):
            rows.append((key, True))
        if picture.has_published(key):
            rows.append((key, False))
    missing = [*picture.not_run(), *picture.without(picture.figure.metrics)]
    if not rows:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    kept = {
        name: points
        for name, points in panels.items()
        if any(p.runs for p in points)
        or any(picture.published(p, k) is not None for k, ours in rows if not ours for p in points)
    }
    # At least as wide as "published (paper scale)" in the title.
    widths = [max(3.4, len({str(p.axes[axis]) for p in points}) + 0.8) for points in kept.values()]
    figure, axes = style.grid(len(rows), len(kept), max(6.0, 0.74 * sum(widths)) / len(kept), 2.6, widths)
    cuts = [_row(line, picture, kept, key, ours) for line, (key, ours) in zip(axes, rows, strict=True)]
    style.heading(figure, picture.title)
    seeds = f"Ours: {picture.basis()} its 95 % interval; small dots: single runs."
    seeds += " Axes of markers do not start at 0." if any(cuts) else ""
    seeds += " Dashed: chance." if any(picture.metric(key).metric == CHANCE for key in picture.figure.metrics) else ""
    style.note(figure, [*([seeds] if any(ours for _, ours in rows) else []), *missing])
    return figure

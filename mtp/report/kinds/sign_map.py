"""Where a setting helps and where it hurts: its effect for every value of `hue` and `x: size`, and a fit over sizes.

The YAML needs `x: size`, `hue`, `baseline` (axis values of what the others are compared with) and one of `metrics`.
Left, the map: mean of the differences paired by seed, positive is better; a filled field says that the 95 % interval
excludes 0. Right, for every value with two sizes or more, a straight line in the logarithm of the weights, with a 90 %
band by bootstrap over seeds.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from mtp.experiment import Point
from mtp.experiment.choosing import selects
from mtp.report import style
from mtp.report.kinds.scaling import nominal
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, t_interval
from mtp.units import amount

RESAMPLES = 2000
LEVEL = 90


def effects(picture: Picture, key: str) -> dict[Any, dict[Any, tuple[float, list[float]]]]:
    """Value of hue -> size -> (log10 of the weights, differences to the baseline by seed; positive is better)."""
    axis, hue = picture.need("x"), picture.need("hue")
    sign = 1.0 if picture.metric(key).better == "higher" else -1.0

    def by_seed(point: Point) -> dict[int, float]:
        measured = picture.measured(point, key)
        return {s.seed: s.value for s in measured.samples} if measured.status == MEASURED else {}

    base = {p.axes[axis]: by_seed(p) for p in picture.points if selects(picture.figure.baseline, p.axes)}
    found: dict[Any, dict[Any, tuple[float, list[float]]]] = {}
    for point in picture.points:
        if selects(picture.figure.baseline, point.axes) or not point.runs:
            continue
        ours, theirs = by_seed(point), base.get(point.axes[axis], {})
        values = [sign * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs]
        if values:
            weights = math.log10(point.runs[0].non_embedding_parameters)
            found.setdefault(point.axes[hue], {})[point.axes[axis]] = (weights, values)
    return found


def band(
    by_size: Mapping[Any, tuple[float, list[float]]], at: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A line through the effects over log10 of the weights: its value, and the ends of the band, at these places.

    Seeds are drawn anew within every size.
    """
    generator = np.random.default_rng(seed)

    def line(groups: list[tuple[float, np.ndarray]]) -> np.ndarray:
        xs = np.concatenate([np.full(len(v), x) for x, v in groups])
        return np.asarray(np.polyval(np.polyfit(xs, np.concatenate([v for _, v in groups]), 1), at))

    groups = [(x, np.array(values)) for x, values in by_size.values()]
    drawn = [line([(x, generator.choice(v, len(v))) for x, v in groups]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [50 - LEVEL / 2, 50 + LEVEL / 2], axis=0)
    return line(groups), low, high


def _map(axes: Axes, picture: Picture, key: str, found: Mapping[Any, Mapping[Any, tuple[float, list[float]]]]) -> None:
    sizes = sorted({size for row in found.values() for size in row}, key=lambda size: nominal(size, 0))
    digits = picture.metric(key).digits
    for y, row in enumerate(found.values()):
        for x, size in enumerate(sizes):
            if size not in row:
                axes.annotate("not run", (x, y), ha="center", va="center", fontsize=8.5, color=style.QUIET)
                continue
            interval = t_interval(row[size][1])
            sure = interval.low is not None and interval.high is not None and interval.low * interval.high > 0
            color = style.COLORS[0] if interval.mean > 0 else style.COLORS[3]
            axes.add_patch(
                _field(x, y, facecolor=color if sure else "white", edgecolor=color, alpha=0.85 if sure else 1.0)
            )
            half = f"\n± {interval.half_width:.{digits}f}" if interval.half_width is not None else ""
            axes.annotate(
                f"{interval.mean:+.{digits}f}{half}".replace("-", "\N{MINUS SIGN}"), (x, y), ha="center", va="center",
                fontsize=9, color="white" if sure else style.INK,
            )  # fmt: skip
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xticks(range(len(sizes)), [str(s) for s in sizes])
    axes.set_yticks(range(len(found)), [str(h) for h in found])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("rung of the paper")


def _field(x: float, y: float, **look: Any) -> Rectangle:
    return Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, lw=1.4, **look)


def _fits(axes: Axes, picture: Picture, key: str, found: Mapping[Any, Mapping[Any, tuple[float, list[float]]]]) -> bool:
    drawn = False
    looks = style.looks(picture.figure.hue, list(found))
    ticks: dict[float, str] = {}
    for name, by_size in found.items():
        if len(by_size) < 2:
            continue
        drawn = True
        look = looks[name]
        places = [x for x, _ in by_size.values()]
        at = np.linspace(min(places), max(places), 40)
        value, low, high = band(by_size, at)
        axes.fill_between(at, low, high, color=look.color, alpha=0.18, lw=0)
        axes.plot(at, value, color=look.color, ls=look.dash)
        for x, values in by_size.values():
            axes.plot([x] * len(values), values, look.marker, color=look.color, ms=4.5, mec="white", mew=0.5)
            ticks[x] = amount(10**x)
        axes.annotate(
            str(name), (at[-1], value[-1]), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9
        )
    if drawn:
        axes.axhline(0, color=style.INK, lw=0.9)
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set_xlabel("weights without embeddings (log)")
        style.y_title(axes, f"gain in {picture.metric(key).title}", 30)
        axes.grid(axis="y")
    return drawn


def draw(picture: Picture) -> Drawing:
    if not picture.figure.baseline or len(picture.figure.metrics) != 1:
        raise picture.error("baseline", "a figure of kind sign_map needs a baseline and one of metrics")
    key = picture.figure.metrics[0]
    found = effects(picture, key)
    missing = [*picture.not_run(), *picture.without(picture.figure.metrics)]
    if not found:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    figure, axes = style.grid(1, 2, 4.7, max(2.6, 0.75 * len(found) + 1.2))
    _map(axes[0][0], picture, key, found)
    if not _fits(axes[0][1], picture, key, found):
        axes[0][1].remove()
    style.heading(figure, picture.title)
    told = (
        f"Ours, {picture.scale} scale: gain in {picture.metric(key).title} over"
        f" {', '.join(map(str, picture.figure.baseline.values()))}, paired by seed ({picture.seeds()} seeds), ± its"
        " 95 % interval. Blue: better; orange: worse; filled: the interval excludes 0. Right: a line in log weights,"
        f" {LEVEL} % band by bootstrap over seeds."
    )
    style.note(figure, [told, *missing])
    return figure

"""What seeds alone change: every seed around the mean of its point, and the difference that k seeds could show.

The YAML needs `metrics`, the first of which is pooled over points for the right panel.

The standard deviation of a point is that of its seeds. Two arms with k seeds each, whose runs vary independently,
differ detectably (95 %, two-sided) from about t(0.975, 2k - 2) x sd x sqrt(2 / k) on. Differences that are paired by
seed need less where the seeds' effects agree between arms.
"""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator
from scipy import stats

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED
from mtp.report.words import value_title

SEEDS = range(2, 11)


def values(picture: Picture, point: Point, key: str) -> list[float]:
    """One number per seed; empty where fewer than two were measured."""
    measured = picture.measured(point, key)
    found = [s.value for s in measured.samples] if measured.status == MEASURED else []
    return found if len(found) > 1 else []


def deviation(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within groups, pooled over them by their degrees of freedom."""
    squares = sum(sum((v - sum(g) / len(g)) ** 2 for v in g) for g in groups)
    return math.sqrt(squares / sum(len(g) - 1 for g in groups))


def detectable(sd: float, seeds: int) -> float:
    """Smallest difference of two arms with so many seeds each that a 95 % interval would tell from 0."""
    return float(stats.t.ppf(0.975, 2 * seeds - 2) * sd * math.sqrt(2 / seeds))


def draw(picture: Picture) -> Drawing:
    keys = [key for key in picture.figure.metrics if any(values(picture, p, key) for p in picture.points)]
    missing = [*picture.not_run(), *picture.without(picture.figure.metrics)]
    if not keys:
        return style.sentence(picture.title, " ".join(missing) or "A spread needs at least two seeds.")
    key = keys[0]
    metric = picture.metric(key)
    points = [p for p in picture.points if values(picture, p, key)]
    figure, axes = style.grid(1, 2, 4.8, 3.2, widths=(1.15, 1))
    left, right = axes[0]
    names = []
    for at, point in enumerate(points):
        found = values(picture, point, key)
        mean = sum(found) / len(found)
        left.plot([v - mean for v in found], [at] * len(found), "o", color=style.COLORS[0], ms=6, mec="white", mew=0.6)
        names.append(", ".join(value_title(axis, point.axes[axis]) for axis in picture.experiment.axes))
        told = f"sd {deviation([found]):.{metric.digits + 1}f}"
        left.annotate(told, (1.01, at), xycoords=left.get_yaxis_transform(), va="center", fontsize=8.8)
    left.axvline(0, color=style.QUIET, lw=0.9)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel(f"{metric.title}, less the mean over seeds")
    ends = []
    for i, shown in enumerate(keys):
        groups = [found for p in picture.points if (found := values(picture, p, shown))]
        sd = deviation(groups)
        right.plot(list(SEEDS), [detectable(sd, k) for k in SEEDS], marker="o", color=style.COLORS[i])
        told = f"{picture.metric(shown).title}: sd {sd:.{picture.metric(shown).digits + 1}f}"
        ends.append((SEEDS[-1], detectable(sd, SEEDS[-1]), told, style.COLORS[i]))
    right.set_ylim(bottom=0)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("seeds per arm")
    style.y_title(right, "smallest detectable difference of two arms", 26)
    right.grid(axis="y")
    style.label_ends(right, ends)
    style.heading(figure, picture.title)
    told = f"Ours, {picture.scale} scale. Right: t x sd x sqrt(2 / seeds) at 95 %, sd pooled over all points."
    style.note(figure, [told, *missing])
    return figure

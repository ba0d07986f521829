"""What each head knows: metrics against the index of the head, a line per `hue`, a column per `panels`.

The YAML needs `hue` and `metrics`, whose label `head` is replaced by 1 to n.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval
from mtp.report.words import value_title


def by_head(picture: Picture, point: Point, key: str) -> list[tuple[int, Interval]]:
    """Index of the head and the metric's interval, for the heads that were evaluated."""
    heads = point.runs[0].n_future if point.runs else 0
    measured = [(head, picture.measured(point, key, head=head)) for head in range(1, heads + 1)]
    return [(head, m.interval) for head, m in measured if m.status == MEASURED]


def _panel(axes: Axes, picture: Picture, points: Sequence[Point], key: str) -> None:
    hue = picture.need("hue")
    looks = style.looks(hue, picture.values(hue, "hue"))
    ends = []
    for point in points:
        data = by_head(picture, point, key)
        if not data:
            continue
        look = looks[point.axes[hue]]
        xs, ys = [h for h, _ in data], [i.mean for _, i in data]
        axes.plot(xs, ys, color=look.color, ls=look.dash, marker=look.marker, mec="white", mew=0.6)
        for x, interval in data:
            if interval.low is not None and interval.high is not None:
                axes.plot([x, x], [interval.low, interval.high], color=look.color, lw=1.1)
        ends.append((xs[-1], ys[-1], value_title(hue, point.axes[hue]), look.color))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlim(0.7, axes.get_xlim()[1])
    axes.grid(axis="y")
    last = max(x for x, *_ in ends)
    for x, y, text, color in ends:
        if x < last:
            axes.annotate(text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9, color=color)
    style.label_ends(axes, [end for end in ends if end[0] == last])


def draw(picture: Picture) -> Drawing:
    picture.need("hue")
    keys = [k for k in picture.figure.metrics if any(by_head(picture, p, k) for p in picture.points)]
    missing = [*picture.not_run(), *picture.without(picture.figure.metrics)]
    if not keys:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    panels = {
        name: points for name, points in picture.split().items() if any(by_head(picture, p, keys[0]) for p in points)
    }
    figure, axes = style.grid(len(keys), len(panels), max(3.6, 9.0 / len(panels) if len(panels) > 1 else 6.5), 2.7)
    for line, key in zip(axes, keys, strict=True):
        for ax, (name, points) in zip(line, panels.items(), strict=True):
            _panel(ax, picture, points, key)
            ax.set_title(str(name))
        line[0].set_ylabel(picture.metric(key).title)
    for ax in axes[-1]:
        ax.set_xlabel("head (1 predicts the next token)")
    style.heading(figure, picture.title)
    style.note(figure, [f"{picture.basis().capitalize()} its 95 % interval (bars).", *missing])
    return figure

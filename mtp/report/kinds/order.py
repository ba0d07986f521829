"""The order of a training step as it was observed (Figures 2 and S11): an arrow per step, numbered from left to right.

A lane per piece of the model: an arrow leads from where data or gradients come to where they go. The YAML needs
`measure: order` and `against`, which chooses the points to draw, a panel each, for example `{loss_scheme: sequential}`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from mtp.experiment import Point
from mtp.experiment.choosing import selects
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.words import value_title

COLORS = {"forward": style.COLORS[0], "backward": style.COLORS[3]}


def lanes(order: Sequence[Mapping[str, str]]) -> list[str]:
    """All pieces, from the input upwards: trunk, heads, losses."""
    names = list(dict.fromkeys(name for step in order for name in (step["from"], step["to"])))
    kinds = ("input", "trunk", "head", "loss")
    return sorted(names, key=lambda name: ([name.startswith(kind) for kind in kinds].index(True), name))


def _panel(axes: Axes, order: Sequence[Mapping[str, str]], names: Sequence[str]) -> None:
    for y in range(len(names)):
        axes.axhline(y, color=style.RULE, lw=0.9, zorder=0)
    for x, step in enumerate(order, 1):
        start, end = names.index(step["from"]), names.index(step["to"])
        color = COLORS[step["direction"]]
        dash = "-" if step["direction"] == "forward" else (0, (3, 1.4))
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 1.8, "ls": dash, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (x, end), (x, start), arrowprops=arrow)
        axes.text(x + 0.12, (start + end) / 2, str(x), ha="left", va="center", fontsize=9, color=color)
    axes.set_xlim(0.3, len(order) + 0.8)
    axes.set_ylim(-0.4, len(names) - 0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _title(picture: Picture, point: Point) -> str:
    told = [value_title(axis, point.axes[axis]) for axis in picture.experiment.axes if axis in point.axes]
    measured = {key: picture.measured(point, key) for key in picture.figure.metrics}
    numbers = [f"{picture.metric(key).title}: {m.interval.mean:g}" for key, m in measured.items() if m.samples]
    return "\n".join((", ".join(told), *numbers))


def draw(picture: Picture) -> Drawing:
    points = [p for p in picture.points if p.runs and selects(picture.figure.against, p.axes)]
    if not points:
        return style.sentence(picture.title, " ".join(picture.not_run()) or f"Not run at the {picture.scale} scale.")
    runs: dict[str, Any] = picture.results.measurement(picture.experiment)["runs"]
    orders = [runs[point.runs[0].name()]["order"] for point in points]
    names = lanes([step for order in orders for step in order])
    width = 0.3 * max(map(len, orders)) + 1.2
    figure, (line,) = style.grid(1, len(points), width, 0.5 * len(names) + 1.6)
    for axes, point, order in zip(line, points, orders, strict=True):
        _panel(axes, order, names)
        axes.set_title(_title(picture, point))
    style.heading(figure, picture.title)
    style.note(figure, ["Observed in a training step. Blue: forward; orange, dashed: backward."])
    return figure

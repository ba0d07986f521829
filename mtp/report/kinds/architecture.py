"""What a model is made of (Figure 1, top): trunk, heads, one unembedding, with the numbers of a run's configuration.

The YAML needs `against`, which chooses the point to draw, for example `{size: 6.7B, n_future: 4}`.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import FancyBboxPatch

from mtp.config import RunConfig
from mtp.experiment.choosing import selects
from mtp.report import style
from mtp.report.picture import Picture
from mtp.units import amount


def _box(axes: Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    corner, shape = (x - width / 2, y - 0.3), "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, 0.6, boxstyle=shape, facecolor="white", edgecolor=color, lw=2))
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    arrow = {"arrowstyle": "-|>", "color": style.QUIET, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=arrow)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("s" if count != 1 else "")


def _draw(axes: Axes, config: RunConfig) -> None:
    n, layout = config.n_future, config.layout
    width, middle = 2.1 * n, 0.0
    places = [2.1 * (i - (n - 1) / 2) for i in range(n)]
    _box(axes, middle, 0, width, "tokens up to t, embedded", style.QUIET)
    _box(axes, middle, 1, width, f"shared trunk: {_plural(config.trunk_layers, 'layer')}", style.COLORS[0])
    of_head = _plural(layout.layers_per_head, "layer") if layout.layers_per_head else config.heads
    for i, x in enumerate(places, 1):
        _arrow(axes, (x, 1.3), (x, 1.7))
        _box(axes, x, 2, 1.8, f"head {i}: {of_head}", style.COLORS[2])
        _arrow(axes, (x, 2.3), (x, 2.7))
        _arrow(axes, (x, 3.3), (x, 3.7))
        axes.text(x, 3.9, f"token t + {i}", ha="center", va="center", fontsize=9.5)
    _arrow(axes, (0, 0.3), (0, 0.7))
    unembedding = "one unembedding per head" if layout.own_unembedding else "one unembedding for all heads"
    _box(axes, middle, 3, width, f"{unembedding}: {config.vocab_size:,} tokens", style.COLORS[4])
    axes.set_xlim(-width / 2 - 0.1, width / 2 + 0.1)
    axes.set_ylim(-0.4, 4.2)
    axes.set_axis_off()


def draw(picture: Picture) -> Drawing:
    points = [p for p in picture.points if selects(picture.figure.against, p.axes)]
    if len(points) != 1:
        raise picture.error("against", f"chooses {len(points)} of the points, not one")
    if not points[0].runs:
        return style.sentence(picture.title, f"The model to draw: {points[0].skipped}.")
    config = points[0].runs[0]
    figure, ((axes,),) = style.grid(1, 1, max(6.0, 1.7 * config.n_future), 3.4)
    _draw(axes, config)
    style.heading(figure, picture.title)
    sizes = f"{config.all_layers} layers of width {config.dim} in all, {amount(config.parameters)} weights"
    style.note(figure, [f"Numbers of the configuration that is trained at the {picture.scale} scale: {sizes}."])
    return figure

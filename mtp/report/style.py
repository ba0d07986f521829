"""The look of every figure: palette, fixed style per n, direct labels, deterministic files. No torch here."""

import dataclasses
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mtp.atomic import replacing

INK, QUIET, RULE = "#262624", "#6b6963", "#dedbd2"
COLORS = sns.color_palette("colorblind").as_hex()
"""Ten colours that people with colour-blindness can tell apart."""
MARKERS = "osD^vPX*<>"
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 1.6)),
    (0, (3, 1.4)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)
HATCHES = ("", "//", "..", "\\\\", "xx", "oo", "++", "--", "**", "OO")
ORDER_OF_N = (1, 4, 2, 8, 16, 32, 6, 3)
"""n -> place in the palette, the same in every figure; an n that is not here takes a later place."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How one value of an axis is drawn: colour for the screen, marker, dashes and hatch for grey print."""

    color: str
    marker: str
    dash: Any
    hatch: str


def _look(place: int, gray: bool = False) -> Look:
    color = "#4d4d4d" if gray else COLORS[place % len(COLORS)]
    return Look(color, MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)], HATCHES[place % len(HATCHES)])


def looks(axis: str | None, values: Sequence[Any]) -> dict[Any, Look]:
    """A look per value; for numbers of heads always the same one, whatever else is in the figure."""
    if axis in ("n_future", "start.n_future"):
        known = {n: i for i, n in enumerate(ORDER_OF_N)}
        return {v: _look(known.get(v, 8 + int(v) % 2), gray=v == 1) for v in values}
    return {v: _look(i) for i, v in enumerate(values)}


def apply() -> None:
    """Set seaborn's theme to the house style."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=COLORS,
        rc={
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.labelcolor": INK,
            "axes.edgecolor": QUIET,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.color": INK,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "hatch.linewidth": 0.7,
            "hatch.color": "white",
            "lines.linewidth": 1.8,
            "lines.markersize": 5,
            "legend.frameon": False,
            "legend.fontsize": 9.5,
            # Glyphs as outlines: the same picture whatever fonts the reader has.
            "svg.fonttype": "path",
            "svg.hashsalt": "mtp",
            "figure.dpi": 100,
            "savefig.dpi": 160,
            "savefig.facecolor": "white",
        },
    )


def grid(
    rows: int, columns: int, width: float, height: float, widths: Sequence[float] | None = None
) -> tuple[Drawing, list[list[Axes]]]:
    """A figure with `rows` x `columns` panels of `width` x `height` inches; `widths` are relative widths."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1, wspace=0.03, hspace=0.04)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout=layout,
        width_ratios=widths,
    )
    return figure, [list(row) for row in axes]


def heading(figure: Drawing, text: str) -> None:
    """A title over all panels, at the left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)


def note(figure: Drawing, sentences: Sequence[str]) -> None:
    """Small sentences under all panels."""
    if sentences:
        columns = int(figure.get_figwidth() * 15)
        lines = [line for sentence in sentences for line in textwrap.wrap(sentence, columns)]
        figure.text(0.01, -0.015, "\n".join(lines), ha="left", va="top", fontsize=8.8, color=QUIET)


def sentence(title: str, text: str) -> Drawing:
    """A figure for which there is no number at all: the reason instead of an empty frame."""
    figure = plt.figure(figsize=(8, 1.3))
    figure.text(0.01, 0.95, title, ha="left", va="top", fontsize=12, fontweight="bold")
    figure.text(0.01, 0.62, textwrap.fill(text, 108), ha="left", va="top", fontsize=10, color=QUIET)
    return figure


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], size: float = 9.0) -> None:
    """Write each line's name at its right end; names that would overlap are moved apart.

    Args:
        ends: x, y, text, colour of each line's last point. Call this after the limits are set.
    """
    height = axes.get_window_extent().height or 1.0
    per_line = size * 1.3 * axes.figure.dpi / 72 / height
    to_fraction = axes.transData + axes.transAxes.inverted()
    placed = sorted(
        ((to_fraction.transform((x, y))[1], x, y, text, color) for x, y, text, color in ends),
        key=lambda e: e[0],
    )
    heights = apart([fraction for fraction, *_ in placed], per_line)
    for (_, x, y, text, color), height_ in zip(placed, heights, strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(1.03, height_),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            color=color,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "lw": 0.5,
                "shrinkA": 0,
                "shrinkB": 2,
                "alpha": 0.6,
            },
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Sorted places, moved to lie at least `gap` apart: neighbours push each other away."""
    moved = list(places)
    for _ in range(200):
        for i in range(len(moved) - 1):
            lack = gap - (moved[i + 1] - moved[i])
            if lack > 0:
                moved[i] -= lack / 2
                moved[i + 1] += lack / 2
    return moved


def y_title(axes: Axes, text: str, width: int = 22) -> None:
    """The title of a vertical axis, in lines that fit a panel."""
    axes.set_ylabel("\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, width)))


def save(figure: Drawing, stem: Path) -> None:
    """Write <stem>.svg and <stem>.png; equal figures give equal bytes.

    What is to be seen is measured once for both; `bbox_inches="tight"` would do so for each.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # it is laid out: saving does so no more
    seen = figure.get_tightbbox().padded(0.12)
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        with replacing(stem.with_name(f"{stem.name}.{kind}")) as path:
            figure.savefig(path, format=kind, metadata=metadata, bbox_inches=seen)
    plt.close(figure)

"""Held-out bits per byte against training bytes: a line per `hue`, a panel per `panels`.

Mean over seeds and, as a band, the range from the lowest to the highest seed. gzip, xz and a 5-gram model
trained on the same bytes stand beside the curves. The YAML needs `metrics: [one]` (a `bits_per_byte` of the
held-out text); `hue` and `panels` are axes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, NullFormatter

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.words import value_title
from mtp.units import amount

COMPRESSORS = ("gzip -9", "xz -9")


def curve(picture: Picture, point: Point, head: int) -> pd.DataFrame:
    """Columns bytes, mean, low, high over the seeds of a point."""
    column = f"bits_per_byte_{head}"
    parts = []
    for config in point.runs:
        frame = picture.results.series(config.name(), "validation.csv")
        if column not in frame:
            raise picture.error("metrics", f"{config.name()}/validation.csv has no column {column}")
        parts.append(frame[["step", "bytes", column]])
    both = (
        pd.concat(parts)
        .groupby("step", as_index=False)
        .agg(bytes=("bytes", "mean"), mean=(column, "mean"), low=(column, "min"), high=(column, "max"))
    )
    return both[both["bytes"] > 0]


def five_gram(baselines: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """The 5-gram model at these training bytes, read off between the measured sizes (nan beyond them)."""
    measured = sorted((float(p["train_bytes"]), float(p["bits_per_byte"])) for p in baselines.get("5-gram", []))
    if not measured:
        return np.full_like(x, np.nan)
    sizes, bits = np.array(measured).T
    return np.asarray(np.interp(np.log(x), np.log(sizes), bits, left=np.nan, right=np.nan))


Curves = list[tuple[Point, pd.DataFrame]]


def _window(curves: Curves, references: Sequence[float]) -> tuple[float, float]:
    """Limits of y: from the best to what was reached after a sixth of the training, and all references."""
    settled = [*references]
    for _, data in curves:
        settled += [float(data["mean"].iloc[len(data) // 6]), float(data["low"].min())]
    low, high = min(settled), max(settled)
    return low - 0.08 * (high - low), high + 0.05 * (high - low)


def _references(picture: Picture, points: Sequence[Point]) -> dict[str, Any]:
    """The baselines of the one corpus of a panel."""
    corpora = list(dict.fromkeys(run.corpus for point in points for run in point.runs))
    if len(corpora) > 1:
        raise picture.error(
            "panels", f"a panel mixes corpora ({', '.join(corpora)}); make the corpus the axis of the panels"
        )
    return picture.results.baselines(corpora[0])


def _panel(axes: Axes, picture: Picture, curves: Curves, known: dict[str, Any], looks: dict[Any, style.Look]) -> None:
    """Draw one panel whose vertical limits are set."""
    hue = picture.figure.hue
    x = np.geomspace(min(c["bytes"].min() for _, c in curves), max(c["bytes"].max() for _, c in curves), 60)
    ends: list[tuple[float, float, str, str]] = []
    for point, data in curves:
        value = point.axes.get(hue) if hue else None
        look = looks[value]
        axes.plot(
            data["bytes"],
            data["mean"],
            color=look.color,
            ls=look.dash,
            marker=look.marker,
            ms=4,
            mec="white",
            mew=0.5,
        )
        axes.fill_between(data["bytes"], data["low"], data["high"], color=look.color, alpha=0.18, lw=0)
        ends.append(
            (
                data["bytes"].iloc[-1],
                data["mean"].iloc[-1],
                value_title(hue, value) if hue else "ours",
                look.color,
            )
        )
    grams = five_gram(known, x)
    if np.isfinite(grams).any():
        axes.plot(x, grams, color=style.QUIET, lw=1.2, ls=(0, (1, 1.5)), zorder=0)
        last = np.flatnonzero(np.isfinite(grams))[-1]
        if axes.get_ylim()[0] < grams[last] < axes.get_ylim()[1]:
            ends.append((x[last], grams[last], "5-gram", style.QUIET))
    axes.set_xscale("log")
    visible = min(float(data.loc[data["mean"] < axes.get_ylim()[1], "bytes"].min()) for _, data in curves)
    axes.set_xlim(visible * 0.8, x[-1])
    # Below the upper line and above the lower one there is no other line: their names stand outside the pair.
    compressors = sorted(((known[name], name) for name in COMPRESSORS if name in known), reverse=True)
    for i, (bits, name) in enumerate(compressors):
        axes.axhline(bits, color=style.QUIET, lw=0.9, zorder=0)
        axes.annotate(
            name,
            (0, bits),
            xycoords=("axes fraction", "data"),
            xytext=(4, 2 if i == 0 else -2),
            textcoords="offset points",
            va="bottom" if i == 0 else "top",
            fontsize=9,
            color=style.QUIET,
        )
    ticks = [m * 10.0**e for e in range(2, 15) for m in (1, 2, 5) if visible * 0.8 <= m * 10.0**e <= x[-1]]
    axes.set_xticks(ticks if len(ticks) < 7 else [t for t in ticks if f"{t:e}"[0] == "1"])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training bytes")
    axes.grid(axis="y")
    style.label_ends(axes, ends)


def draw(picture: Picture) -> Drawing:
    if len(picture.figure.metrics) != 1:
        raise picture.error("metrics", "learning_curves needs exactly one metric")
    metric = picture.metric(picture.figure.metrics[0])
    head = int(metric.where.get("head", 1))
    hue = picture.figure.hue
    looks = style.looks(hue, picture.values(hue, "hue")) if hue else style.looks(None, [None])
    panels = {name: [p for p in points if p.runs] for name, points in picture.split().items()}
    panels = {name: points for name, points in panels.items() if points}
    missing = picture.not_run()
    if not panels:
        return style.sentence(picture.title, " ".join(missing))
    known = {name: _references(picture, points) for name, points in panels.items()}
    curves = {name: [(p, curve(picture, p, head)) for p in points] for name, points in panels.items()}
    references = [float(k[name]) for k in known.values() for name in COMPRESSORS if name in k]
    limits = _window([c for some in curves.values() for c in some], references)
    figure, axes = style.grid(1, len(panels), max(4.6, 7.0 if len(panels) == 1 else 0), 3.6)
    for ax, name in zip(axes[0], panels, strict=True):
        ax.set_ylim(*limits)
        _panel(ax, picture, curves[name], known[name], looks)
        ax.set_title(str(name))
    style.y_title(axes[0][0], metric.title, 40)
    style.heading(figure, picture.title)
    style.note(figure, [f"Mean and range over {picture.seeds()} seeds; 5-gram: trained on the same bytes.", *missing])
    return figure

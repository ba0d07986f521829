"""Scores by test group: the paper's above, ours below, a line per `hue`, a column per `panels`.

The YAML needs `hue` and `metrics`, one for each group in order, whose label `group` names it. A metric whose name in
the evaluation is `chance` is no group: it is a dashed line in ours, over all groups. A thin line parts the groups that
training covers from the others.
"""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.results import MEASURED, Interval
from mtp.report.words import value_title

Number = Callable[[Point, str], Interval | None]


def _group(picture: Picture, key: str) -> str:
    return str(picture.metric(key).where.get("group", key))


def _panel(axes: Axes, picture: Picture, points: Sequence[Point], keys: Sequence[str], number: Number) -> None:
    hue = picture.need("hue")
    ends = []
    looks = style.looks(hue, picture.values(hue, "hue"))
    for i_hue, (value, look) in enumerate(looks.items()):
        drawn = [(x, i) for p in points if p.axes.get(hue) == value for x, k in enumerate(keys) if (i := number(p, k))]
        if not drawn:
            continue
        # Intervals of neighbours would hide each other: lines with intervals stand a little apart.
        aside = 0.06 * (i_hue - (len(looks) - 1) / 2) if any(i.low is not None for _, i in drawn) else 0.0
        xs, ys = [x + aside for x, _ in drawn], [i.mean for _, i in drawn]
        axes.plot(xs, ys, color=look.color, ls=look.dash, marker=look.marker, mec="white", mew=0.6)
        for x, interval in drawn:
            if interval.low is not None and interval.high is not None:
                axes.plot([x + aside] * 2, [interval.low, interval.high], color=look.color, lw=1.1)
        ends.append((xs[-1], ys[-1], value_title(hue, value), look.color))
    axes.set_xticks(range(len(keys)), [_group(picture, key) for key in keys])
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    style.label_ends(axes, ends)


def _chance(axes: Axes, picture: Picture, points: Sequence[Point], keys: Sequence[str], chance: str) -> None:
    """Over all points, which hardly differ."""
    drawn = []
    for x, key in enumerate(keys):
        found = [picture.measured(p, chance, group=_group(picture, key)) for p in points]
        values = [m.interval.mean for m in found if m.status == MEASURED]
        if values:
            drawn.append((x, sum(values) / len(values)))
    if drawn:
        axes.plot(*zip(*drawn, strict=True), color=style.QUIET, lw=1, ls="--")
        axes.annotate(
            "chance", drawn[0], xytext=(0, -4), textcoords="offset points", va="top", fontsize=8.5, color=style.QUIET
        )


def _border(axes: Axes, picture: Picture, points: Sequence[Point], keys: Sequence[str]) -> None:
    run = next(run.name() for p in points for run in p.runs)
    found = [picture.results.entry(picture.experiment, run, key) for key in keys]
    domains = [entry.get("domain") for _, entry in filter(None, found)]
    if "in" in domains and "out" in domains:
        axes.axvline(domains.index("out") - 0.5, color=style.RULE, lw=1)


def draw(picture: Picture) -> Drawing:
    picture.need("hue")
    chances = [key for key in picture.figure.metrics if picture.metric(key).metric == "chance"]
    keys = [key for key in picture.figure.metrics if key not in chances]

    def ours(point: Point, key: str) -> Interval | None:
        measured = picture.measured(point, key)
        return measured.interval if measured.status == MEASURED else None

    def theirs(point: Point, key: str) -> Interval | None:
        value = picture.published(point, key)
        return None if value is None else Interval(value, None, None)

    def measured_keys(points: Sequence[Point]) -> list[str]:
        return [key for key in keys if any(ours(p, key) for p in points)]

    panels = picture.split()
    columns = {name: points for name, points in panels.items() if any(p.runs for p in points)}
    shown = any(theirs(p, key) for p in picture.points for key in keys)
    missing = picture.not_run()
    if not columns and not shown:
        return style.sentence(picture.title, " ".join(missing) or f"Not run at the {picture.scale} scale.")
    rows = [kind for kind, there in (("theirs", shown), ("ours", bool(columns))) if there]
    width = max(3.4, 9.0 / len(panels)) if len(panels) > 1 else 6.5
    figure, axes = style.grid(len(rows), len(panels), width, 2.7)
    for row, line in zip(rows, axes, strict=True):
        for ax, (name, points) in zip(line, panels.items(), strict=True):
            source = "published (paper scale)" if row == "theirs" else f"ours, {picture.scale} scale"
            ax.set_title(f"{name}\n{source}" if name else source)
            if row == "theirs" and any(theirs(p, key) for p in points for key in keys):
                _panel(ax, picture, points, keys, theirs)
            elif row == "ours" and (found := measured_keys(points)):
                _panel(ax, picture, points, found, ours)
                for chance in chances:
                    _chance(ax, picture, points, found, chance)
                _border(ax, picture, points, found)
            else:
                ax.set_axis_off()
                why = "not run" if row == "ours" else "not in this figure"
                ax.text(0, 0.5, why, transform=ax.transAxes, color=style.QUIET)
        line[0].set_ylabel("% right")
    for ax in axes[-1]:
        ax.set_xlabel("test group")
    style.heading(figure, picture.title)
    style.note(figure, [*([f"Ours: {picture.basis()} its 95 % interval (bars)."] if columns else []), *missing])
    return figure

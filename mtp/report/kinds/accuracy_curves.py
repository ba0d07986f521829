"""Held-out accuracy of the next-token head against training tokens: a line per `hue`, a panel per `panels`.

Mean over seeds and, as a band, the range from the lowest to the highest seed. The YAML needs `hue` and one of
`metrics` (an `accuracy`, whose label `head` names the head).
"""

from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter

from mtp.experiment import Point
from mtp.report import style
from mtp.report.picture import Picture
from mtp.report.words import value_title
from mtp.units import amount


def _curve(picture: Picture, point: Point, column: str) -> dict[str, list[float]]:
    """tokens, mean, low, high over the seeds of a point."""
    frames = [picture.results.series(run.name(), "validation.csv") for run in point.runs]
    if any(column not in frame for frame in frames):
        raise picture.error("metrics", f"{point.runs[0].name()}/validation.csv has no column {column}")
    values = [list(step) for step in zip(*(frame[column] for frame in frames), strict=True)]
    return {
        "tokens": list(frames[0]["tokens"]),
        "mean": [sum(step) / len(step) for step in values],
        "low": [min(step) for step in values],
        "high": [max(step) for step in values],
    }


def draw(picture: Picture) -> Drawing:
    hue = picture.need("hue")
    if len(picture.figure.metrics) != 1:
        raise picture.error("metrics", "accuracy_curves needs exactly one metric")
    metric = picture.metric(picture.figure.metrics[0])
    looks = style.looks(hue, picture.values(hue, "hue"))
    panels = {name: [p for p in points if p.runs] for name, points in picture.split().items()}
    panels = {name: points for name, points in panels.items() if points}
    missing = picture.not_run()
    if not panels:
        return style.sentence(picture.title, " ".join(missing))
    figure, axes = style.grid(1, len(panels), max(4.2, 7.0 if len(panels) == 1 else 0), 3.4)
    for ax, (name, points) in zip(axes[0], panels.items(), strict=True):
        ends = []
        ax.set_ylim(0, 102)
        for point in points:
            look = looks[point.axes[hue]]
            data = _curve(picture, point, f"accuracy_{metric.where.get('head', 1)}")
            drawn = {"color": look.color, "ls": look.dash, "marker": look.marker, "ms": 4, "mec": "white", "mew": 0.5}
            ax.plot(data["tokens"], data["mean"], **drawn)
            ax.fill_between(data["tokens"], data["low"], data["high"], color=look.color, alpha=0.18, lw=0)
            ends.append((data["tokens"][-1], data["mean"][-1], value_title(hue, point.axes[hue]), look.color))
        ax.set_title(str(name))
        ax.set_xlabel("training tokens")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: amount(v)))
        ax.grid(axis="y")
        style.label_ends(ax, ends)
    style.y_title(axes[0][0], metric.title, 40)
    style.heading(figure, picture.title)
    style.note(figure, [f"Mean and range over {picture.seeds()} seeds.", *missing])
    return figure

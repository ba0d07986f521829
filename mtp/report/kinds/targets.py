"""Which targets are hard because of one transition (Figure 9): a column per context, a row per head.

The YAML needs `measure: choice_points` and `against`, which chooses the point to draw, for example `{n_future: 3}`.
"""

from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from mtp.experiment.choosing import selects
from mtp.report import style
from mtp.report.picture import Picture


def draw(picture: Picture) -> Drawing:
    chosen = [p for p in picture.points if p.runs and selects(picture.figure.against, p.axes)]
    if len(chosen) != 1:
        raise picture.error("against", f"chooses {len(chosen)} of the points that are run, not one")
    targets = picture.results.measurement(picture.experiment)["runs"][chosen[0].runs[0].name()]["figure_9"]
    contexts = list(dict.fromkeys(target["context"] for target in targets))
    heads = max(target["head"] for target in targets)
    figure, ((axes,),) = style.grid(1, 1, 0.75 * len(contexts) + 2, 0.6 * heads + 1.2)
    color = style.looks(None, [None])[None].color
    for target in targets:
        x, y = contexts.index(target["context"]), target["head"]
        axes.add_patch(
            Rectangle(
                (x - 0.42, y - 0.4), 0.84, 0.8, facecolor=color if target["hard"] else "white", edgecolor=style.QUIET
            )
        )
        axes.text(x, y, target["target"], ha="center", va="center", color="white" if target["hard"] else style.INK)
    axes.set_xlim(-0.6, len(contexts) - 0.4)
    axes.set_ylim(heads + 0.6, 0.4)
    axes.set_xticks(range(len(contexts)), contexts)
    axes.set_yticks(range(1, heads + 1))
    axes.tick_params(length=0)
    axes.set_xlabel("last token of the context")
    axes.set_ylabel("head")
    for side in axes.spines.values():
        side.set_visible(False)
    hard = sum(target["hard"] for target in targets)
    style.heading(figure, picture.title)
    style.note(figure, [f"Filled: {hard} targets that are hard because one transition is (counted, not computed)."])
    return figure

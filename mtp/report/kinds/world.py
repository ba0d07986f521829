"""A way through a grid world with the weight of every turn (Figure S17).

The YAML needs `measure: choice_points` and `against`, which chooses the point to draw, for example `{n_future: 4}`.
"""

from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from mtp.experiment.choosing import selects
from mtp.report import style
from mtp.report.picture import Picture

STEPS = {"U": (-1, 0), "D": (1, 0), "R": (0, 1)}
SIGNS = {">": "start", "*": "goal", "X": "skull"}


def draw(picture: Picture) -> Drawing:
    chosen = [p for p in picture.points if p.runs and selects(picture.figure.against, p.axes)]
    if len(chosen) != 1:
        raise picture.error("against", f"chooses {len(chosen)} of the points that are run, not one")
    world = picture.results.measurement(picture.experiment)["runs"][chosen[0].runs[0].name()]["world"]
    rows = world["question"].split("/")
    figure, ((axes,),) = style.grid(1, 1, 0.36 * len(rows[0]) + 0.6, 0.36 * len(rows) + 1.6)
    looks = style.looks("kind", ["consequential", "inconsequential"])
    at = (0, 0)
    for i, row in enumerate(rows):
        for j, sign in enumerate(row):
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=style.RULE if sign == "#" else "white", lw=0))
            if sign in SIGNS:
                axes.text(j, i + 0.32, SIGNS[sign], ha="center", va="center", fontsize=6.5, color=style.QUIET)
            at = (i, j) if sign == ">" else at
    for letter, move in zip(world["answer"], world["moves"], strict=True):
        to = (at[0] + STEPS[letter][0], at[1] + STEPS[letter][1])
        look = looks.get(move["kind"])
        color = look.color if look else style.INK
        arrow = {"arrowstyle": "->", "color": color, "lw": 2.2 if look else 1, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (to[1], to[0]), (at[1], at[0]), arrowprops=arrow)
        if look:
            middle = (at[0] + to[0]) / 2
            axes.text(at[1] + 0.2, middle, str(move["terms"]), ha="left", va="center", color=color, fontweight="bold")
        at = to
    for i, (kind, look) in enumerate(looks.items()):
        axes.text(-0.5, len(rows) + 0.1 + 0.7 * i, f"{kind} turn", ha="left", va="center", color=look.color)
    axes.set_xlim(-0.5, len(rows[0]) - 0.5)
    axes.set_ylim(len(rows) + 1.2, -0.5)
    axes.set_aspect("equal")
    axes.set_axis_off()
    n = chosen[0].runs[0].n_future
    style.heading(figure, picture.title)
    style.note(figure, [f"Numbers: targets that are hard because of a turn, with n = {n} (counted, not computed)."])
    return figure

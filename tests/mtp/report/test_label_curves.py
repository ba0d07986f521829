"""Lines over a label: ours from the runs' reports, the paper's from its CSV, chance in the panels it belongs to."""

import dataclasses
from pathlib import Path

import pytest

from mtp.errors import UserError
from mtp.experiment import load_all, load_scale
from mtp.report.kinds import label_curves
from mtp.report.picture import Picture
from mtp.report.results import Results
from tests.mtp.report.conftest import EXPERIMENTS, fabricate


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results as the cpu scale would leave them."""
    folder = tmp_path_factory.mktemp("results")
    fabricate(folder, "cpu")
    return folder


def told(experiment: str, folder: Path) -> Picture:
    found = load_all(load_scale("cpu", EXPERIMENTS), EXPERIMENTS)[experiment]
    return Picture(found, 0, Results(folder, "cpu"))


def titles(drawn: label_curves.Drawing) -> list[tuple[str, int]]:
    """Of every panel its title and how many lines it has, marks of intervals included."""
    shown = [ax for ax in drawn.axes if ax.get_visible()]
    return [(ax.get_title() or ax.get_title(loc="left"), len(ax.lines)) for ax in shown]


def test_ours_with_chance(made_up: Path) -> None:
    drawn = label_curves.draw(told("word_problems", made_up))
    assert [title for title, _ in titles(drawn)] == ["ours, cpu scale"] * 2
    dashed = [[line for line in ax.lines if line.get_color() == label_curves.style.QUIET] for ax in drawn.axes]
    heights = [line.get_ydata()[0] for lines in dashed for line in lines]
    assert heights == pytest.approx([10, 10 * 10**0.7])  # each panel has the chance of its k
    one = next(line for line in drawn.axes[0].lines if line.get_marker() not in ("", "None"))
    assert len(one.get_xdata()) == 7  # seven temperatures; the best one is no place on the axis


def test_steps(made_up: Path) -> None:
    drawn = label_curves.draw(told("continuations", made_up))
    assert len(titles(drawn)) == 2
    assert {text.get_text() for text in drawn.axes[0].texts} == {"n = 1", "n = 4"}


@pytest.mark.parametrize(("name", "panels"), [("fig5", 1), ("figS12", 7), ("figS13", 6)])
def test_the_papers_numbers_where_nothing_is_run(made_up: Path, name: str, panels: int) -> None:
    drawn = label_curves.draw(told(name, made_up))
    found = titles(drawn)
    assert len(found) == panels and all(title.endswith("published (paper scale)") for title, _ in found)
    assert {lines for _, lines in found} == {3}
    if name == "fig5":
        one = drawn.axes[0].lines[0]
        assert len(one.get_xdata()) == 10 and one.get_ydata()[-1] == pytest.approx(52.31)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": None}, r"continuations\.yaml: figures\.0\.x: missing"),
        ({"metrics": []}, r"figures\.0\.x: missing; a figure of kind label_curves needs a label on the x axis"),
        ({"hue": "n"}, r"figures\.0\.hue: no axis 'n'"),
    ],
)
def test_mistakes(made_up: Path, change: dict[str, object], message: str) -> None:
    whole = told("continuations", made_up)
    spec = whole.experiment.spec
    figure = spec.figures[0].model_copy(update=change)
    broken = dataclasses.replace(whole.experiment, spec=spec.model_copy(update={"figures": [figure]}))
    with pytest.raises(UserError, match=message):
        label_curves.draw(Picture(broken, 0, whole.results))

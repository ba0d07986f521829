"""Figures: every kind draws, equal results give equal bytes, mistakes in the YAML are named."""

import itertools
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mtp.errors import UserError
from mtp.report import figures, style
from mtp.report.results import Results
from tests.mtp.report import tiny
from tests.mtp.report.conftest import EXPERIMENTS, fabricate

KINDS = """
figures:
  - {name: bars, kind: bars, x: n_future, panels: arm, metrics: [held_out, humaneval_1]}
  - {name: curves, kind: learning_curves, hue: n_future, panels: arm, metrics: [held_out]}
  - {name: heads, kind: heads, hue: n_future, panels: arm, metrics: [held_out, accuracy]}
"""


def test_all_figures_of_the_suite(cpu: Path) -> None:
    for experiment in fabricate(cpu / "results", "cpu", pass_rate=20).values():
        figures.draw(experiment, Results(cpu / "results", "cpu"), cpu / "figures")
        for figure in experiment.spec.figures:
            stem = cpu / "figures" / f"{experiment.name}.{figure.name}"
            root = ElementTree.parse(stem.with_name(stem.name + ".svg")).getroot()
            assert root.tag.endswith("svg")
            assert stem.with_name(stem.name + ".png").read_bytes()[:4] == b"\x89PNG"


def test_each_kind_with_and_without_runs(tmp_path: Path) -> None:
    """The whole of Table 1 with one figure of each kind that its axes allow; then the same, not run at all."""
    shutil.copytree(EXPERIMENTS, tmp_path / "experiments")
    path = tmp_path / "experiments/paper/table1.yaml"
    text = path.read_text()
    head, tail = text.split("figures:\n")
    path.write_text(head + KINDS.lstrip() + tail[tail.index("claims:") :])
    for skip in (False, True):
        if skip:
            path.write_text(path.read_text().replace("\n  smoke: {evals:", "\n  smoke: {skip: too large, evals:"))
        found = fabricate(tmp_path / "results", "smoke", tmp_path / "experiments")
        figures.draw(found["table1"], Results(tmp_path / "results", "smoke"), tmp_path / f"figures{skip}")
    sizes = {s: (tmp_path / f"figures{s}/table1.heads.svg").stat().st_size for s in (False, True)}
    assert sizes[True] < sizes[False]


def test_equal_bytes_on_a_rerun(tmp_path: Path) -> None:
    experiment = tiny.build(tmp_path)
    for folder in ("a", "b"):
        figures.draw(experiment, Results(tmp_path / "results", "tiny"), tmp_path / folder)
    for end in ("svg", "png"):
        assert (tmp_path / "a" / f"tiny.bars.{end}").read_bytes() == (tmp_path / "b" / f"tiny.bars.{end}").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x: n_future, ", "x: head, ", r"tiny\.yaml: figures\.0\.x: no axis 'head'"),  # a label, which bars do not take
        ("x: n_future, ", "", r"tiny\.yaml: figures\.0\.x: missing"),
    ],
)
def test_mistakes_name_yaml_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    experiment = tiny.build(tmp_path, spec=tiny.SPEC.replace(old, new))
    with pytest.raises(UserError, match=message):
        figures.draw(experiment, Results(tmp_path / "results", "tiny"), tmp_path)


def test_only_one_figure(tmp_path: Path) -> None:
    experiment = tiny.build(tmp_path)
    with pytest.raises(UserError, match=r"none is called 'barz'; did you mean 'bars'"):
        figures.draw(experiment, Results(tmp_path / "results", "tiny"), tmp_path, only="barz")


def test_n_looks_the_same_everywhere() -> None:
    assert style.looks("n_future", [1, 4])[4] == style.looks("n_future", [2, 4, 8, 32])[4]
    looks = style.looks("n_future", [1, 2, 4, 6, 8, 16, 32])
    assert len({(look.color, look.marker) for look in looks.values()}) == len(looks)


def test_labels_are_pushed_apart() -> None:
    moved = style.apart([0.5, 0.51, 0.52], 0.1)
    assert moved == sorted(moved)
    assert all(b - a > 0.099 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(1.53)

"""Tables S13 and S14 cell by cell: a wrong learning rate in experiments/scales/paper.yaml fails here."""

import csv
import shutil
from pathlib import Path

import pytest

from mtp.experiment import Experiment, computed, load_scale, resolve
from mtp.experiment.choosing import points_of
from mtp.report import published
from tests.conftest import ROOT

ROUNDED = {"tokens_billion": 0.06}
"""Columns that are rounded: by how much, with what their last digit hides."""
PRINTED_OTHERWISE = {("CodeContests", "7B", "tokens_billion"), ("Summarization", "SAMSum", "warmup_steps")}
"""Cells in which the paper contradicts itself: steps times batch are not its tokens; a warm-up beyond the last step."""


def table(name: str, root: Path = ROOT / "experiments", scale: str = "cpu") -> Experiment:
    return resolve(root / "paper" / f"{name}.yaml", load_scale(scale, root), root)


def rows(name: str) -> list[dict[str, str]]:
    with (ROOT / "experiments" / "paper" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def wrong_cells(name: str, root: Path = ROOT / "experiments") -> list[str]:
    """Cells of the paper's table that the configuration at the paper's scale does not give."""
    experiment = table(name, root)
    wrong = []
    for point in points_of(experiment):
        for key, metric in experiment.spec.metrics.items():
            if metric.published is None:
                continue
            ours, theirs = computed(experiment, point, key), published.value(experiment, point, key)
            column = metric.published_value
            row = [str(value) for value in point.published.values()]
            if (*row, column) in PRINTED_OTHERWISE:
                continue
            near = pytest.approx(theirs, rel=1e-9, abs=ROUNDED.get(column, 0))
            if theirs is None or isinstance(ours, str) or ours != near:
                wrong.append(f"{', '.join(row)}: {column}: {ours} instead of {theirs}")
    return wrong


@pytest.mark.parametrize("name", ["tableS13", "tableS14"])
def test_every_cell_is_the_papers(name: str) -> None:
    assert wrong_cells(name) == []


@pytest.mark.parametrize("name", ["tableS13", "tableS14"])
def test_every_row_of_the_paper_is_there(name: str) -> None:
    keys = ("group", "model") if name == "tableS13" else ("name",)
    wanted = {tuple(row[key] for key in keys) for row in rows(name)}
    assert {tuple(str(p.published[key]) for key in keys) for p in points_of(table(name))} == wanted


def test_a_wrong_learning_rate_is_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    path = tmp_path / "experiments" / "scales" / "paper.yaml"
    text = path.read_text()
    start = text.index("  1T tokens:")
    path.write_text(text[:start] + text[start:].replace("peak_lr: 3e-4", "peak_lr: 2e-4", 1))
    found = wrong_cells("tableS13", tmp_path / "experiments")
    assert found == ["Code models, 7B 1T: peak_lr: 0.0002 instead of 0.0003"]


def test_weights_follow_from_the_shapes() -> None:
    """12 layers dim^2 and two matrices of 32,000 tokens, to 4 %: norms and a rounded feed-forward width are added."""
    experiment = table("tableS14")
    derived = {row["name"]: row for row in rows("tableS14")}
    for point in points_of(experiment):
        row = derived[point.axes["size"]]
        for key, column in (("without", "non_embedding_params_derived"), ("weights", "total_params_derived")):
            assert computed(experiment, point, key) == pytest.approx(int(row[column]) / 1e6, rel=0.04)

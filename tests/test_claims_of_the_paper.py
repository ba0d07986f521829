"""Every claim that the paper's text states is a claim of some exhibit, with what the paper prints of it."""

import csv
import functools
import re

import pytest

from mtp.experiment import Claim, Experiment, load_all, load_scale
from mtp.experiment.choosing import paired
from mtp.report import published
from tests.conftest import ROOT

with (ROOT / "experiments" / "paper" / "text_claims.csv").open(newline="") as file:
    ROWS = list(csv.DictReader(file))


@functools.cache
def all_claims() -> list[tuple[Experiment, Claim]]:
    """Every claim with its experiment."""
    experiments = load_all(load_scale("cpu", ROOT / "experiments"), ROOT / "experiments")
    return [(experiment, claim) for experiment in experiments.values() for claim in experiment.spec.claims]


@pytest.mark.parametrize("row", ROWS, ids=[row["claim"] for row in ROWS])
def test_every_line_of_the_text_is_a_claim(row: dict[str, str]) -> None:
    """In its place of the paper, with what the paper states; or the number of the metric has to be it (below)."""
    found = [claim for _, claim in all_claims() if claim.row == row["claim"]]
    assert found, "no experiment has it"
    assert all(row["label"] in claim.where for claim in found)
    assert all(claim.stated == row["value"] for claim in found)


def test_no_claim_names_a_line_that_is_not_there() -> None:
    known = {row["claim"] for row in ROWS} | {""}
    assert [claim.row for _, claim in all_claims() if claim.row not in known] == []


def effect(experiment: Experiment, claim: Claim) -> float | None:
    """The paper's effect by its own tables: a difference of points, or percent."""
    pairs = paired(experiment, claim.these, claim.than or {}, ("these", "than"))
    (told,) = [[published.value(experiment, point, claim.metric) for point in pair] for pair in pairs]
    if None in told:
        return None
    a, b = (float(x or 0) for x in told)
    return 100 * (a / b - 1) if claim.relative else a - b


def test_printed_effects_follow_from_the_papers_tables() -> None:
    """ "+3.8 / +2.1 / +3.2" for pass@1, 10 and 100 and "+67%" are what Tables 1 and S7 give."""
    looked_at = 0
    for experiment, claim in all_claims():
        if not claim.row or claim.than is None:
            continue
        printed = [float(text) for text in re.findall(r"[+-]?\d+\.?\d*", claim.stated)]
        place = {"1": 0, "10": 1, "100": 2}[claim.metric.split("_")[1]] if len(printed) > 1 else 0
        found = effect(experiment, claim)
        assert found == pytest.approx(printed[place], abs=0.6 if claim.relative else 0.051), claim.text
        looked_at += 1
    assert looked_at == 2 + 2 + 3 * 3 + 2


def test_claims_say_where_they_stand() -> None:
    for experiment, claim in all_claims():
        assert claim.where and claim.text and not claim.text.endswith("."), (experiment.name, claim.text)

"""Intervals and labels."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtp.errors import UserError
from mtp.experiment.choosing import same
from mtp.report.results import MEASURED, Measured, Results, Sample, t_interval
from tests.mtp.report import tiny

FLOATS = st.floats(-1e3, 1e3, allow_nan=False)


def test_t_interval_by_hand() -> None:
    """Values 1, 2, 3: mean 2, s = 1, t(0.975, 2) = 4.30265; half width 4.30265 / sqrt(3)."""
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))


def test_one_value_has_no_interval() -> None:
    assert t_interval([1.5]) == t_interval([1.5]).__class__(1.5, None, None)


@given(st.lists(FLOATS, min_size=2, max_size=8), FLOATS)
def test_interval_moves_with_its_values(values: list[float], shift: float) -> None:
    interval, moved = t_interval(values), t_interval([v + shift for v in values])
    assert interval.low is not None and interval.high is not None
    assert interval.low <= interval.mean <= interval.high
    assert moved.mean == pytest.approx(interval.mean + shift, abs=1e-6)
    assert moved.half_width == pytest.approx(interval.half_width, abs=1e-6)


@pytest.mark.parametrize("seeds", [1, 2])
def test_equal_values_take_the_evaluations_own_interval(seeds: int) -> None:
    samples = tuple(Sample(seed, f"run{seed}", 0.0, 0.0, 2.25) for seed in range(seeds))
    interval = Measured(MEASURED, "", samples).interval
    assert (interval.low, interval.high) == (0.0, 2.25)


def test_unequal_values_take_the_interval_over_seeds() -> None:
    samples = (Sample(0, "a", 0.0, 0.0, 9.0), Sample(1, "b", 1.0, 0.0, 9.0))
    assert Measured(MEASURED, "", samples).interval == t_interval([0.0, 1.0])


def test_a_missing_measurement_is_named(tmp_path: Path) -> None:
    spec = tiny.SPEC.replace("evals: [likelihood, humaneval]", "measure: step_time")
    experiment = tiny.build(tmp_path, spec=spec)
    with pytest.raises(UserError, match=r"measurements/tiny\.json: missing"):
        Results(tmp_path / "results", "tiny").measure(experiment, experiment.points[0], "bits")


@pytest.mark.parametrize(
    ("record", "status", "reason"),
    [
        ({"status": "unavailable", "reason": "no /proc", "runs": {}}, "unavailable", "no /proc"),
        ({"metrics": [{"metric": "bits_per_byte", "value": None, "reason": "too large"}]}, "unavailable", "too large"),
        ({"metrics": []}, "not evaluated", "step_time reports no bits_per_byte here"),
    ],
)
def test_why_a_measurement_has_no_number(tmp_path: Path, record: dict[str, Any], status: str, reason: str) -> None:
    spec = tiny.SPEC.replace("evals: [likelihood, humaneval]", "measure: step_time")
    spec = spec.replace("where: {text: code, head: 1}, ", "")
    experiment = tiny.build(tmp_path, spec=spec)
    whole = {"status": "measured", "reason": "", "runs": dict.fromkeys(experiment.configurations, record)} | record
    path = tmp_path / "results" / "tiny" / "measurements" / "tiny.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole))
    found = Results(tmp_path / "results", "tiny").measure(experiment, experiment.points[0], "bits")
    assert (found.status, found.reason) == (status, reason)


def test_labels_compare_as_numbers_or_text() -> None:
    assert same("1", 1) and same(1.0, "1") and same("oracle", "oracle ")
    assert not same("oracle", 1) and not same("0.2", 0.8)

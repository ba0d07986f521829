"""Verdicts, from numbers checked by hand."""

import json
from pathlib import Path

import pytest

from mtp.errors import UserError
from mtp.experiment import choosing
from mtp.report import claims
from mtp.report.results import Interval, Measured, Results, Sample
from tests.mtp.report import tiny


def judge(folder: Path, index: int, **changes: object) -> dict[str, str]:
    experiment = tiny.build(folder, **changes)  # type: ignore[arg-type]
    return claims.judge(experiment, Results(folder / "results", "tiny"), index)


CLOSE = {(1, 0): 2.0, (1, 1): 2.2, (2, 0): 2.5, (2, 1): 2.71}
"""Differences 0.5 and 0.51: mean 0.505, half width 12.7062 * 0.005 = 0.063531."""


def test_holds_and_reversed(tmp_path: Path) -> None:
    row = judge(tmp_path, 0, bits=CLOSE)
    assert (row["verdict"], row["measured_effect"], row["n_seeds"]) == ("holds", "0.505", "2")
    assert float(row["minimum_detectable_effect"]) == pytest.approx(0.063531, abs=1e-6)
    assert len(row["runs"].split()) == 4
    row = judge(tmp_path, 1, bits=CLOSE)
    assert (row["verdict"], row["measured_effect"]) == ("reversed", "-0.505")


def test_inconclusive(tmp_path: Path) -> None:
    """Differences 0.5 and 0.55: half width 12.7062 * 0.025 = 0.318 < 0.525 holds; 0.1 and 0.9 does not."""
    assert judge(tmp_path, 0)["verdict"] == "holds"
    bits = {(1, 0): 2.0, (1, 1): 2.0, (2, 0): 2.1, (2, 1): 2.9}
    row = judge(tmp_path, 0, bits=bits)
    assert row["verdict"] == "inconclusive" and "contains 0" in row["reason"]


def test_all_zero_is_not_testable(tmp_path: Path) -> None:
    row = judge(tmp_path, 2)
    assert row["verdict"] == "not testable at this scale" and "every value is 0" in row["reason"]
    assert row["published_effect"] == "3.7" and row["measured_effect"] == ""


def test_points_not_run_are_not_testable(tmp_path: Path) -> None:
    row = judge(tmp_path, 3, passed=1.0)
    assert row["verdict"] == "not testable at this scale"
    assert row["reason"] == "n_future 3 is not run at the tiny scale" and row["published_effect"] == "1.9"


def test_metric_not_evaluated_is_not_testable(tmp_path: Path) -> None:
    row = judge(tmp_path, 4)
    assert row["verdict"] == "not testable at this scale" and "reports it" in row["reason"]


def test_one_seed_is_inconclusive() -> None:
    assert claims.verdict(Interval(1.0, None, None))[0] == "inconclusive"


STEP = tiny.SPEC.replace("evals: [likelihood, humaneval]", "measure: step_time").replace(
    "metrics:\n", "metrics:\n  time: {title: time, metric: relative_time, published: {benchmark: HumanEval, k: 10}}\n"
)
STEP += "  - {text: no overhead, where: here, metric: time, these: {n_future: 2}, than: {n_future: 1}}\n"


def measured_step(folder: Path, ends: tuple[float, float]) -> dict[str, str]:
    """The claim that n = 2 takes no longer than n = 1, from a step of 1.6 times with this interval."""
    experiment = tiny.build(folder, spec=STEP)
    numbers = {
        1: {"value": 1.0, "ci_low": 1.0, "ci_high": 1.0},
        2: {"value": 1.6, "ci_low": ends[0], "ci_high": ends[1]},
    }
    runs = {
        name: {"metrics": [{"metric": "relative_time", **numbers[config.n_future]}]}
        for name, config in experiment.configurations.items()
    }
    path = folder / "results" / "tiny" / "measurements" / "tiny.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"status": "measured", "reason": "", "runs": runs}))
    return claims.judge(experiment, Results(folder / "results", "tiny"), 5)


def test_a_measured_ratio_has_its_own_interval(tmp_path: Path) -> None:
    """Lower is better: 1.0 - 1.6 = -0.6 in [1.0 - 1.7, 1.0 - 1.5]; an interval that reaches 1 decides nothing."""
    row = measured_step(tmp_path, (1.5, 1.7))
    assert (row["verdict"], row["measured_effect"], row["n_seeds"]) == ("reversed", "-0.6", "1")
    assert (row["ci_low"], row["ci_high"]) == ("-0.7", "-0.5")
    assert measured_step(tmp_path, (0.9, 1.7))["verdict"] == "inconclusive"


def test_without_its_own_interval_a_measurement_decides_nothing() -> None:
    exact, lone = (Measured("measured", "", (Sample(0, "run", 1.0, *ends),)) for ends in ((1.0, 1.0), (None, None)))
    assert claims.own_difference([(exact, exact)]) == Interval(0.0, 0.0, 0.0)
    assert claims.own_difference([(exact, lone)]) == Interval(0.0, None, None)


def claimed(folder: Path, line: str, **changes: object) -> dict[str, str]:
    """The row of one more claim, `line` as YAML."""
    return judge(folder, 5, spec=tiny.SPEC + f"  - {{text: more, where: here, {line}}}\n", **changes)


def test_a_relative_effect(tmp_path: Path) -> None:
    """Bits 2.0, 2.2 against 2.5, 2.8: 20 and 21.4 % fewer, and fewer is better; the paper's 21.8 / 18.1."""
    bits = {**tiny.BITS, (2, 1): 2.8}
    row = claimed(tmp_path, "metric: bits, these: {n_future: 1}, than: {n_future: 2}, relative: true", bits=bits)
    assert (row["verdict"], row["measured_effect"], row["form"]) == ("holds", "20.7143", "relative difference, %")
    line = "metric: pass, these: {n_future: 2}, than: {n_future: 1}, relative: true"
    row = claimed(tmp_path, line, passed=5.0)
    assert row["published_effect"] == "20.442" and row["measured_effect"] == "0.0"
    assert claimed(tmp_path, line)["reason"] == "every value is 0 at this scale"


def test_level_within_a_margin(tmp_path: Path) -> None:
    """0.505 +- 0.064 lies within 0.6 of 0 and beyond 0.4; of 0.5 one cannot tell."""
    for within, said in ((0.6, "holds"), (0.5, "inconclusive"), (0.4, "reversed")):
        line = f"metric: bits, these: {{n_future: 1}}, than: {{n_future: 2}}, within: {within}"
        row = claimed(tmp_path, line, bits=CLOSE)
        assert (row["verdict"], row["form"]) == (said, f"difference, 0 \N{PLUS-MINUS SIGN} {within:g}")


GAPS = """
label: Table T
title: Tiny
base: {corpus: code, vocabulary: bytes, recipe: 1B}
arms:
  small: {base: {size: 0.3B}, grid: {n_future: [1, 2]}, published: {label: Table T}}
  large:
    base: {size: 0.6B}
    grid: {n_future: [1, 2, 3]}
    published: {label: Table U}
    at: {tiny: {grid: {n_future: [1, 2]}}}
rows: [arm, n_future]
evals: [likelihood, humaneval]
published: {file: tiny.csv, axes: {n: n_future}}
metrics:
  bits: {title: bits/byte, metric: bits_per_byte, where: {text: code, head: 1}, digits: 3}
  pass: {title: HumanEval@1, metric: pass@k, where: {benchmark: HumanEval, k: 1}, better: higher, digits: 1,
         published: {benchmark: HumanEval, k: 1}}
claims:
"""
LARGE = "these: {arm: large, n_future: 2}, than: {arm: large, n_future: 1}"
SMALL = "{these: {arm: small, n_future: 2}, than: {arm: small, n_future: 1}}"


def changed(folder: Path, line: str, gaps: dict[str, tuple[float, float]], **changes: object) -> dict[str, str]:
    """The row of a claim, where n = 2 differs from n = 1 (2 bits per byte) by these gaps, one per seed."""
    paper = tiny.PAPER + "Table U,1,HumanEval,1,20\nTable U,2,HumanEval,1,30\n"
    spec = GAPS + f"  - {{text: more, where: here, {line}}}\n"
    experiment = tiny.build(folder, spec, paper, **changes)  # type: ignore[arg-type]
    for point in experiment.points:
        for config in point.runs:
            path = folder / "results/tiny/runs" / config.name() / "likelihood.json"
            record = json.loads(path.read_text())
            gap = gaps[point.arm][config.seed] if config.n_future == 2 else 0.0
            record["metrics"][0]["value"] = 2.0 + config.seed + gap
            path.write_text(json.dumps(record))
    return claims.judge(experiment, Results(folder / "results", "tiny"), 0)


def test_a_gap_less_another(tmp_path: Path) -> None:
    """Gaps of -0.30 and -0.34 less -0.10 and -0.12: -0.20 and -0.22, fewer is better; half width 12.7062 * 0.01."""
    row = changed(tmp_path, f"metric: bits, {LARGE}, less: {SMALL}", {"large": (-0.30, -0.34), "small": (-0.10, -0.12)})
    assert (row["verdict"], row["form"], row["n_seeds"]) == ("holds", "change of the difference", "2")
    assert float(row["measured_effect"]) == pytest.approx(0.21)
    assert float(row["minimum_detectable_effect"]) == pytest.approx(0.127062, abs=1e-6)
    assert len(row["runs"].split()) == 8, "all four points"


def test_the_papers_gaps(tmp_path: Path) -> None:
    """30 - 20 less 21.8 - 18.1."""
    row = changed(tmp_path, f"metric: pass, {LARGE}, less: {SMALL}", {"large": (0, 0), "small": (0, 0)}, passed=5.0)
    assert float(row["published_effect"]) == pytest.approx(6.3) and row["measured_effect"] == "0.0"


@pytest.mark.parametrize(
    ("within", "said"), [(0.4, "holds"), (0.3, "inconclusive"), (0.05, "reversed")], ids=["level", "open", "apart"]
)
def test_neither_wider_nor_narrower(tmp_path: Path, within: float, said: str) -> None:
    """A change of 0.21 +- 0.127 bits."""
    line = f"metric: bits, {LARGE}, less: {SMALL}, within: {within}"
    row = changed(tmp_path, line, {"large": (-0.30, -0.34), "small": (-0.10, -0.12)})
    assert (row["verdict"], row["form"]) == (said, f"change of the difference, 0 \N{PLUS-MINUS SIGN} {within:g}")


def test_half_a_comparison_of_gaps_is_none(tmp_path: Path) -> None:
    line = f"metric: bits, these: {{arm: large, n_future: 3}}, than: {{arm: large, n_future: 1}}, less: {SMALL}"
    row = changed(tmp_path, line, {"large": (-0.30, -0.34), "small": (-0.10, -0.12)})
    assert row["verdict"] == "not testable at this scale" and row["measured_effect"] == ""
    assert row["reason"] == "n_future 3 is not run at the tiny scale"


def test_agreement_of_seeds_is_no_proof(tmp_path: Path) -> None:
    """Both seeds differ by 0.5: the intervals of the sides, each 12.7062 * 0.1 wide, add up."""
    line = "metric: bits, these: {n_future: 1}, than: {n_future: 2}"
    row = claimed(tmp_path, line, bits={(1, 0): 2.0, (1, 1): 2.2, (2, 0): 2.5, (2, 1): 2.7})
    assert row["verdict"] == "inconclusive" and "all seeds agree" in row["reason"]
    assert float(row["minimum_detectable_effect"]) == pytest.approx(2 * 1.27062, abs=1e-4)


def test_a_ratio_to_nothing_is_not_testable(tmp_path: Path) -> None:
    bits = {(1, 0): 0.0, (1, 1): 2.2, (2, 0): 2.5, (2, 1): 2.75}
    row = claimed(tmp_path, "metric: bits, these: {n_future: 2}, than: {n_future: 1}, relative: true", bits=bits)
    assert row["verdict"] == "not testable at this scale" and "compare with is 0" in row["reason"]


@pytest.mark.parametrize(
    ("line", "said"),
    [  # n = 1: 2.0 and 2.02, mean 2.01, half width 12.7062 * 0.01 = 0.127062
        ("above: 1.8", "holds"),
        ("above: 1.9", "inconclusive"),
        ("above: 2.2", "reversed"),
        ("below: 2.2", "holds"),
        ("below: 1.8", "reversed"),
        ("near: 2, within: 0.2", "holds"),
        ("near: 2, within: 0.1", "inconclusive"),
        ("near: 3, within: 0.1", "reversed"),
    ],
)
def test_a_value_against_a_number(tmp_path: Path, line: str, said: str) -> None:
    """The value itself is shown, with what it is set against."""
    bits = {(1, 0): 2.0, (1, 1): 2.02, (2, 0): 2.5, (2, 1): 2.75}
    row = claimed(tmp_path, f"metric: bits, these: {{n_future: 1}}, {line}", bits=bits)
    assert (row["verdict"], row["measured_effect"]) == (said, "2.01")
    assert float(row["minimum_detectable_effect"]) == pytest.approx(0.127062, abs=1e-6)
    assert row["form"].startswith("value, ") and (row["reason"] == "" or said != "holds")


def test_the_papers_own_values(tmp_path: Path) -> None:
    """Of several points the one that speaks most against the claim is shown; points without a number are counted."""
    line = "metric: pass, near: published, within: 1"
    row = claimed(tmp_path, line, passed=18.0)
    assert (row["verdict"], row["measured_effect"], row["published_effect"]) == ("reversed", "-3.8", "")
    assert row["reason"] == "the worst of 2 points; 1 more have no value"
    row = claimed(tmp_path, "metric: pass, these: {n_future: 1}, near: published, within: 1", passed=18.0)
    assert row["verdict"] == "holds" and len(row["runs"].split()) == 2
    row = claimed(tmp_path, "metric: bits, near: published")
    assert row["verdict"] == "not testable at this scale" and row["reason"] == "the paper reports no value"


def test_arithmetic_is_exact(tmp_path: Path) -> None:
    spec = tiny.SPEC.replace("metrics:\n", "metrics:\n  n: {title: steps, metric: steps, computed_at: here}\n")
    spec += "  - {text: more, where: here, metric: n, these: {n_future: 1}, near: 20}\n"
    row = judge(tmp_path, 5, spec=spec)
    assert (row["verdict"], row["ci_low"], row["ci_high"], row["runs"]) == ("holds", "20.0", "20.0", "")


def test_what_no_run_can_tell(tmp_path: Path) -> None:
    row = claimed(tmp_path, "stated: 50 tonnes, untestable: an estimate of the authors")
    assert row["verdict"] == "not testable at this scale" and row["reason"] == "an estimate of the authors"
    assert (row["stated"], row["metric"], row["title"], row["measured_effect"]) == ("50 tonnes", "", "", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("metric: bits, these: {n_future: 1}", r"claims\.5: needs exactly one of than, above.* and has none of them"),
        ("metric: bits, above: 1, below: 2", r"claims\.5: needs exactly one of .* and has above and below"),
        (
            "metric: bits, above: 1, relative: true",
            r"claims\.5\.relative: belongs to a claim with than, not to",
        ),
        (
            "metric: bits, above: 1, less: {these: {n_future: 1}, than: {n_future: 2}}",
            r"claims\.5\.less: belongs to a claim with than, not to",
        ),
        ("metric: bits, above: 1, within: 1", r"claims\.5\.within: belongs to a claim with than or near, not to"),
        ("metric: bit, above: 1", r"claims\.5\.metric: unknown 'bit'; did you mean 'bits'"),
        ("metric: bits, above: 1", r"claims\.5\.these: fits 3 points; name more axes"),
    ],
)
def test_forms_are_checked(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        claimed(tmp_path, line)


def test_rows_as_people_read_them(tmp_path: Path) -> None:
    """Differences have signs, values none; what the paper only states in words stands in place of its number."""
    lines = [
        "metric: bits, these: {n_future: 1}, above: 1.8",
        "metric: bits, these: {n_future: 1}, than: {n_future: 2}, stated: a lot",
    ]
    spec = tiny.SPEC + "".join(f"  - {{text: more, where: here, {line}}}\n" for line in lines)
    experiment = tiny.build(tmp_path, spec=spec)
    frame = claims.judge_all({"tiny": experiment}, Results(tmp_path / "results", "tiny"))
    value, difference = claims.shown(frame, {"tiny": experiment})[-2:]
    assert value["ours"] == "2.100" and difference["ours"] == "+0.525" and difference["paper"] == "a lot"


def test_pairs_over_the_other_axes(tmp_path: Path) -> None:
    """n = 1 and n = 2 are compared size by size."""
    spec = tiny.SPEC.replace("n_future: [1, 2, 3]}", "n_future: [1, 2, 3], size: [0.3B, 0.6B]}")
    experiment = tiny.build(tmp_path, spec=spec.replace(", size: 0.3B}", "}"))
    found = choosing.paired(experiment, {"n_future": 1}, {"n_future": 2}, ("these", "than"))
    assert [(a.axes["size"], b.axes["size"]) for a, b in found] == [("0.3B", "0.3B"), ("0.6B", "0.6B")]
    row = claims.judge(experiment, Results(tmp_path / "results", "tiny"), 0)
    assert row["measured_effect"] == "0.525" and len(row["runs"].split()) == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "these: {n_future: 1}, than",
            "these: {n_futures: 1}, than",
            r"claims\.0\.these: no axis 'n_futures'; did you",
        ),
        ("these: {n_future: 1}, than", "these: {n_future: 7}, than", r"claims\.0\.these\.n_future: no point has 7"),
        ("these: {n_future: 1}, than", "these: {size: 0.3B}, than", r"claims\.0\.these: name more axes"),
    ],
)
def test_bad_claims_name_yaml_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        judge(tmp_path, 0, spec=tiny.SPEC.replace(old, new, 1))

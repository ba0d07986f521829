"""Comparisons on the same problems, from numbers checked by hand."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp.errors import UserError
from mtp.experiment import PER_PROBLEM, Experiment
from mtp.report import comparisons, per_problem, tables
from mtp.report.results import Results
from mtp.report.tidy import read
from mtp.statistics import cross_fitted, estimates, interval
from tests.mtp.report import tiny

METRICS = """\
metrics:
  rank: {title: "reference, rank", metric: reference_rank, where: {benchmark: HumanEval}, better: higher, digits: 1}
  refs: {title: "references, bits/byte", metric: reference_bits_per_byte, where: {benchmark: HumanEval}, digits: 3}
"""
ASKED = """\
comparisons:
  - {metric: pass, axis: n_future, baseline: 1}
  - {metric: refs, axis: n_future, baseline: 1}
  - {metric: rank, axis: n_future, baseline: 2, where: {n_future: 1}}
"""
SPEC = tiny.SPEC.replace("metrics:\n", METRICS) + ASKED
PASSED = {(1, 0): [0, 1, 2, 0], (1, 1): [0, 2, 1, 0], (2, 0): [1, 2, 2, 0], (2, 1): [1, 1, 2, 0]}
"""(n_future, seed) -> samples of two that passed, per problem. Means over seeds in percent: 0, 75, 75, 0 for n = 1 and
50, 75, 100, 0 for n = 2; differences 50, 0, 25, 0."""


def record(passed: list[int], bits: float) -> dict[str, Any]:
    sizes = [100, 200, 300, 400]
    told = {
        "task_ids": [f"HumanEval/{i}" for i in range(4)], "samples": 2, "temperatures": ["0.2"],
        "passed": {"0.2": passed}, "reference_nats": [bits * math.log(2) * size for size in sizes],
        "reference_bytes": sizes, "rank": [50.0, 60.0, 70.0, 50.0 + bits],
    }  # fmt: skip
    rows = [
        {"metric": "pass@k", "k": 1, "temperature": "0.2", "value": 100 * sum(passed) / 8},
        {"metric": "reference_bits_per_byte", "value": bits},
        {"metric": "reference_rank", "value": (230 + bits) / 4},
    ]
    return {"metrics": [{"benchmark": "HumanEval", **row} for row in rows], "per_problem": told}


def build(folder: Path, spec: str = SPEC, passed: dict[tuple[int, int], list[int]] = PASSED) -> Experiment:
    experiment = tiny.build(folder, spec=spec)
    for name, config in experiment.runs.items():
        path = folder / "results/tiny/runs" / name / "humaneval.json"
        found = record(passed[config.n_future, config.seed], tiny.BITS[config.n_future, config.seed])
        path.write_text(json.dumps(json.loads(path.read_text()) | found))
    return experiment


def test_by_hand(tmp_path: Path) -> None:
    experiment = build(tmp_path)
    frame = comparisons.compare_all(experiment, Results(tmp_path / "results", "tiny"))
    rows = {(row["metric"], row["n_future"]): row for row in frame.to_dict("records")}
    assert list(rows) == [("pass", "2"), ("pass", "3"), ("refs", "2"), ("refs", "3"), ("rank", "1")]
    solved = rows["pass", "2"]
    assert (solved["difference"], solved["p"], solved["p_holm"]) == ("18.75", "0.5", "0.5")
    assert 0 <= float(solved["ci_low"]) < 18.75 < float(solved["ci_high"]) <= 50
    assert (solved["n_problems"], solved["n_seeds"], solved["against"]) == ("4", "2", "n = 1")
    assert len(solved["runs"].split()) == 4
    assert (rows["refs", "2"]["difference"], rows["refs", "2"]["p"]) == ("0.525", "0.125")
    assert float(rows["rank", "1"]["difference"]) == pytest.approx(-0.525 / 4)
    assert rows["pass", "3"]["reason"] == "n_future 3 is not run at the tiny scale" and not rows["pass", "3"]["p"]


def test_nothing_passes(tmp_path: Path) -> None:
    experiment = build(tmp_path, passed=dict.fromkeys(PASSED, [0] * 4))
    row = comparisons.compare_all(experiment, Results(tmp_path / "results", "tiny")).to_dict("records")[0]
    assert (row["status"], row["difference"]) == ("not testable at this scale", "")
    assert row["reason"] == "every value is 0 at this scale"


def test_holm_over_the_rows_of_a_metric(tmp_path: Path) -> None:
    spec = SPEC.replace("grid: {n_future: [1, 2, 3]}", "grid: {n_future: [1, 2], size: [0.3B, 0.6B]}")
    spec = spec.replace("at: {tiny: {grid: {n_future: [1, 2]}}}\n", "").replace(", size: 0.3B}", "}")
    spec = re.sub(r"  - .text: three.*\n", "", spec)
    frame = comparisons.compare_all(build(tmp_path, spec), Results(tmp_path / "results", "tiny"))
    rows = frame[frame["metric"] == "refs"]
    assert list(rows["size"]) == ["0.3B", "0.6B"]
    assert list(rows["p"]) == ["0.125"] * 2 and list(rows["p_holm"]) == ["0.25"] * 2


def test_page_and_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    path, written = Path("results/tiny/tiny.comparisons.csv"), []
    for _ in range(2):
        comparisons.main(["tiny", *tiny.ARGUMENTS])
        written.append(path.read_bytes())
    assert written[0] == written[1] and len(read(path)) == 5
    tables.main(["tiny", *tiny.ARGUMENTS])
    page = Path("results/tiny/tiny.html").read_text()
    assert "+18.8" in page and "how these trained models would differ on other problems" in page
    assert "but for what is not run at the tiny scale: n 3" in page
    path.unlink()
    with pytest.raises(SystemExit):
        tables.main(["tiny", *tiny.ARGUMENTS])


def test_temperatures() -> None:
    """The mean of a number's values is the number: at one temperature, of the oracle, cross-fitted."""
    rng = np.random.default_rng(0)
    passed = {t: rng.binomial(5, rng.uniform(0, 1, 30)).tolist() for t in ("0.2", "0.8")}
    ids = [str(i) for i in range(30)]
    told = {"task_ids": ids, "samples": 5, "temperatures": ["0.2", "0.8"], "passed": passed}
    each = [100 * estimates(5, counts, 2) for counts in passed.values()]
    numbers = {"0.8": interval(each[1:]), "oracle": interval(each), "cross-fitted": cross_fitted(each)}
    for temperature, (value, _, _) in numbers.items():
        entry = {"metric": "pass@k", "k": 2, "temperature": temperature, "value": value}
        found = per_problem.values(Path("x"), {"per_problem": told}, entry)
        assert list(found) == ids and np.mean(list(found.values())) == pytest.approx(value)
    with pytest.raises(UserError, match=r"x: per_problem: does not average to the pass@k of 12"):
        per_problem.values(Path("x"), {"per_problem": told}, entry | {"value": 12.0})
    with pytest.raises(UserError, match=r"x: per_problem: pass@k: KeyError: '0\.4'"):
        per_problem.values(Path("x"), {"per_problem": told}, entry | {"temperature": "0.4"})
    assert set(per_problem.VALUES) == set(PER_PROBLEM)


def test_problems_without_a_reference() -> None:
    told = {"task_ids": ["a", "b", "c"], "rank": [50.0, None, 60.0], "reference_nats": [None, 20.0, 10.0]}
    told["reference_bytes"] = [None, 10, 20]
    entries = [{"metric": "reference_rank", "value": 55.0}]
    entries.append({"metric": "reference_bits_per_byte", "value": 1 / math.log(2)})
    found = [per_problem.values(Path("x"), {"per_problem": told}, entry) for entry in entries]
    assert found[0] == {"a": 50.0, "c": 60.0} and found[1].keys() == {"b", "c"}


def test_an_older_result_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(iter(build(tmp_path).runs))
    path = tmp_path / "results/tiny/runs" / run / "humaneval.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "per_problem"}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        comparisons.main(["tiny", *tiny.ARGUMENTS])
    told = capsys.readouterr().err
    assert caught.value.code == 2 and told.count("\n") == 1
    assert f"{run}/humaneval.json: no per_problem" in told


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("metric: pass, axis", "metric: pas, axis", r"comparisons\.0\.metric: unknown 'pas'; did you mean 'pass'"),
        ("metric: pass, axis", "metric: bits, axis", r"comparisons\.0\.metric: bits_per_byte has no value per problem"),
        ("axis: n_future, baseline: 1}\n  - {metric: refs", "axis: n, baseline: 1}\n  - {metric: refs", "no axis 'n'"),
        ("baseline: 2, where", "baseline: 7, where", r"comparisons\.2\.baseline\.n_future: no point has 7"),
    ],
)
def test_mistakes_name_yaml_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(tmp_path, SPEC.replace(old, new))

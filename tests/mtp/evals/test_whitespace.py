"""White space behind prompts: what changes, and what must not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp.dag import Suite
from mtp.errors import UserError
from mtp.evals import whitespace
from mtp.problems import load
from mtp.sandbox.programs import program
from tests.conftest import ROOT
from tests.mtp.evals.conftest import Folders, command, isolated, select

LIKELIHOOD: dict[str, Any] = {"benchmarks": ["HumanEval"], "problems": 3, "samples": 0}
SAMPLING = {"temperatures": [0.2, 0.8], "top_p": 0.95, "max_tokens": 6, "ks": [1], "batch_size": 4}


def test_only_the_prompt_changes() -> None:
    """The program of a completion is the same, so that a right answer stays right."""
    before = load("humaneval")[:3]
    for white in whitespace.ADDED.values():
        after = whitespace.with_added(before, white)
        assert [p.prompt for p in after] == [p.prompt + white for p in before]
        assert [program(p, p.reference) for p in after] == [program(p, p.reference) for p in before]


def test_likelihood_without_samples(folders: Folders) -> None:
    """No sandbox is needed; the change is the difference of the two numbers and lies in its interval."""
    result = command(folders, "whitespace", LIKELIHOOD)
    assert result["status"] == "measured" and result["settings"]["problems"] == {"HumanEval": 3}
    bits = {
        name: select(result, metric="reference_bits_per_byte", whitespace=name)["value"] for name in whitespace.ADDED
    }
    for name in ("newline", "spaces + newline"):
        changed = select(result, metric="reference_bits_change", whitespace=name)
        assert changed["value"] == pytest.approx(bits[name] - bits["none"])
        assert changed["ci_low"] <= changed["value"] <= changed["ci_high"]
    assert not [m for m in result["metrics"] if m["metric"].startswith("pass")]


def test_without_white_space_it_is_the_benchmarks_own_number(folders: Folders) -> None:
    """What humaneval reports of the references, byte for byte."""
    from mtp.data.vocabulary import Vocabulary
    from mtp.evals import _references
    from mtp.runs import load_run

    result = command(folders, "whitespace", LIKELIHOOD)
    model, _ = load_run(folders[0])
    found = _references.measure(model, Vocabulary.load(folders[1]), load("humaneval")[:3], 0)
    nats, size = sum(n or 0 for n in found.nats), sum(n or 0 for n in found.bytes)
    same = select(result, metric="reference_bits_per_byte", whitespace="none")["value"]
    assert same == pytest.approx(nats / np.log(2) / size)


@isolated
def test_samples(folders: Folders) -> None:
    result = command(folders, "whitespace", LIKELIHOOD | {"problems": 2, "samples": 2} | SAMPLING)
    for name in ("none", "newline", "spaces + newline"):
        assert select(result, metric="pass@k", k=1, whitespace=name, temperature="oracle")["value"] == 0
    assert select(result, metric="pass@k_change", k=1, whitespace="newline")["value"] == 0


def test_a_benchmark_that_is_missing_says_so(folders: Folders, empty: Any) -> None:
    """The others are measured all the same."""
    result = command(folders, "whitespace", LIKELIHOOD | {"benchmarks": ["APPS/Intro", "HumanEval"]})
    gone = select(result, metric="reference_bits_change", benchmark="APPS/Intro", whitespace="newline")
    assert gone["value"] is None and "apps" in gone["reason"].lower()
    assert select(result, metric="reference_bits_change", benchmark="HumanEval", whitespace="newline")["value"]


def test_change_by_hand() -> None:
    """Differences 1 and 3 with weights 3 and 1: (3 + 3) / 4."""
    found = whitespace.change(np.array([2.0, 5.0]), np.array([1.0, 2.0]), np.array([3.0, 1.0]))
    assert found["value"] == 1.5 and (found["ci_low"], found["ci_high"]) == (1.0, 3.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": ["HumanEvl"]}, "benchmarks: unknown 'HumanEvl'; did you mean 'HumanEval'"),
        ({"samples": 2}, "temperatures: missing"),
        ({"ks": [1]}, "ks: unknown key"),
        ({"problems": 0}, "problems: must be at least 1"),
        ({"samples": 2} | SAMPLING | {"ks": [3]}, "pass@3 needs at least 3 samples"),
    ],
)
def test_wrong_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        whitespace.check(LIKELIHOOD | changes)


def test_it_waits_for_the_benchmarks_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the gpu scale MBPP and APPS are fetched before it; HumanEval comes with a package."""
    monkeypatch.chdir(ROOT)
    suite = Suite({"scale": "gpu"})
    assert {Path(path).stem for path in suite.benchmark_files("whitespace")} == {"mbpp", "apps"}
    assert [Path(path).stem for path in suite.benchmark_files("mbpp")] == ["mbpp"]
    assert Suite({"scale": "cpu"}).benchmark_files("whitespace") == suite.benchmark_files("humaneval") == []

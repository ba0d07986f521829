"""pass@k of a finetuning set's own test problems, in a tiny random model and in one that knows the answers."""

import json
from typing import Any

import pytest

from mtp import finetuning
from mtp.completions import Sample
from mtp.errors import UserError
from mtp.evals import _samples, contests
from mtp.finetuning import Example, small_contests
from mtp.problems import Unavailable
from tests.mtp.evals.conftest import Folders, command, isolated, select

SETTINGS: dict[str, Any] = {
    "samples": 2, "temperatures": [0.5, 0.9], "top_p": 1.0, "max_tokens": 6, "ks": [1, 2], "batch_size": 8,
    "mutants": 0, "problems": 4,
}  # fmt: skip


@pytest.fixture
def tagged(folders: Folders) -> Folders:
    """The tiny model with small contests as its data."""
    run, data = folders
    manifest = {"vocabulary": {"name": "bytes"}, "corpus": {"set": "small_contests"}}
    (data / "manifest.json").write_text(json.dumps(manifest))
    for split, examples in small_contests.examples(small_contests.check({})).items():
        finetuning.write(data, split, examples)
    return run, data


@isolated
def test_a_model_that_knows_nothing(tagged: Folders) -> None:
    result = command(tagged, "contests", SETTINGS)
    found = select(result, metric="pass@k", k=2, temperature="oracle")
    assert (found["value"], found["benchmark"], found["problems"]) == (0, "small contests", 4)
    assert select(result, metric="reference_bits_per_byte")["value"] > 5
    assert result["settings"]["problems"] == "the first 4 of 40" and result["settings"]["stops"] == []


@isolated
def test_a_model_that_knows_the_answers(tagged: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second sample is right: pass@1 is a half, pass@2 is one. Prompts end in the tag of right solutions."""
    examples = finetuning.read(tagged[1], "test")

    def answers(model: Any, vocabulary: Any, requests: Any, *rest: Any) -> Any:
        for one in requests:
            prompt = vocabulary.decode(one.prompt).decode()
            assert prompt == examples[one.problem].question and prompt.endswith("# correct")
            text = examples[one.problem].answer if one.sample else "\n    return None"
            yield Sample(one.problem, one.sample, text, [1], "end of document")

    monkeypatch.setattr(_samples, "generate", answers)
    result = command(tagged, "contests", SETTINGS)
    assert select(result, metric="pass@k", k=1, temperature="0.5")["value"] == 50
    assert select(result, metric="pass@k", k=2, temperature="oracle")["value"] == 100
    assert select(result, metric="parses", temperature="0.9")["value"] == 100


def test_other_sets_are_refused(tagged: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    finetuning.write(tagged[1], "test", [Example("q", "a")] * 2)
    with pytest.raises(UserError, match="its test examples have no tests"):
        contests.problems_of(tagged[1])
    (tagged[1] / "manifest.json").write_text(json.dumps({"vocabulary": {"name": "bytes"}, "corpus": {"name": "code"}}))
    with pytest.raises(UserError, match="is not a finetuning set"):
        contests.problems_of(tagged[1])


def test_without_a_sandbox(tagged: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise Unavailable("no sandbox here")

    monkeypatch.setattr("mtp.evals._code.ready", missing)
    assert command(tagged, "contests", SETTINGS)["reason"] == "no sandbox here"

"""ROUGE of greedy answers: known scores, a model that knows the answers, one that knows nothing, epochs."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mtp import finetuning, snapshots
from mtp.errors import UserError
from mtp.evals import rouge
from mtp.finetuning import Example
from mtp.model import Model
from tests.conftest import tiny
from tests.mtp.evals.conftest import Folders, command, select
from tests.mtp.test_generate import Begins

pytest.importorskip("rouge_score")

SETTINGS: dict[str, Any] = {"max_tokens": 8, "batch_size": 4, "use_stemmer": True}
EXAMPLES = [Example(f"q{i}?", f" the answer {word}") for i, word in enumerate(("red", "green", "blue", "black"))]


@pytest.fixture
def finetuned(folders: Folders) -> Folders:
    """The tiny model with data of questions and answers, and two snapshots."""
    run, data = folders
    for split in finetuning.SPLITS:
        finetuning.write(data, split, EXAMPLES)
    config = tiny(n_future=2, steps=9, snapshots=2)
    (run / "config.json").write_text(json.dumps({"run": config.name(), "config": config.to_dict()}))
    for step in snapshots.steps(config):
        path = snapshots.path(run, step)
        path.parent.mkdir(exist_ok=True)
        torch.manual_seed(step)
        save_file(Model(config).state_dict(), path)
    return run, data


def test_known_scores() -> None:
    found = rouge.scores(["the cat sat"], ["the cat ran away"], use_stemmer=False)
    assert found["ROUGE-1", "precision"] == pytest.approx([2 / 3]) and found["ROUGE-1", "recall"] == [0.5]
    assert found["ROUGE-1", "f1"] == pytest.approx([4 / 7])
    assert found["ROUGE-2", "precision"] == [0.5] and found["ROUGE-3", "f1"] == [0]
    assert found["ROUGE-L", "f1"] == found["ROUGE-1", "f1"]
    stems = [rouge.scores(["it returns"], ["it returned"], use_stemmer=stem)["ROUGE-1", "f1"] for stem in (False, True)]
    assert stems == [[0.5], [1]]
    persian = rouge.scores(["سلام دنیا"], ["سلام دنیا"], use_stemmer=False)
    assert persian["ROUGE-1", "f1"] == [0], "the package's tokenizer keeps Latin letters and digits only"
    lines = rouge.scores(["b\na"], ["a\nb"], use_stemmer=False)
    assert lines["ROUGE-Lsum", "f1"] == [1] and lines["ROUGE-L", "f1"] == [0.5]


def test_a_model_that_knows_nothing(finetuned: Folders) -> None:
    result = command(finetuned, "rouge", SETTINGS)
    assert result["status"] == "measured"
    for weights in ("last", "best epoch"):
        found = select(result, metric="rouge", rouge="ROUGE-L", aspect="f1", weights=weights)
        assert 0 <= found["ci_low"] <= found["value"] <= found["ci_high"] <= 100 and found["examples"] == 4
    # "the answer red" and "the answer blue" share two words of three.
    assert select(result, metric="chance", rouge="ROUGE-1", aspect="f1")["value"] == pytest.approx(200 / 3)
    assert 0 <= select(result, metric="preference")["value"] <= 100
    assert 5 < select(result, metric="answer_bits_per_byte")["value"] < 12
    assert len(result["answers"]) == 4 and result["answers"][0]["reference"] == "the answer red"
    assert select(result, metric="evaluation_epoch")["value"] in (1, 2, 3)
    assert len([m for m in result["metrics"] if m["metric"] == "validation_rouge"]) == 3
    assert result["settings"] == {**SETTINGS, "decoding": "greedy", "chosen_by": "ROUGE-L f1", "epochs": 3}


def test_the_epoch_is_chosen_on_validation_examples(finetuned: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are told apart by their answers: the first snapshot is right on validation, the last on the test."""
    calls = iter(["test", "valid 1", "valid 2", "valid 3", "test again"])
    right = [example.answer.strip() for example in EXAMPLES]
    said = {"test": right, "valid 1": ["nothing"] * 4, "valid 2": right, "valid 3": ["nothing"] * 4}
    monkeypatch.setattr(rouge.Answerer, "answers", lambda self, examples: said.get(next(calls), ["the answer"] * 4))
    result = command(finetuned, "rouge", SETTINGS)
    asked = {"metric": "rouge", "rouge": "ROUGE-L", "aspect": "f1"}
    assert select(result, metric="evaluation_epoch")["value"] == 2
    assert select(result, **asked, weights="last")["value"] == 100
    assert select(result, **asked, weights="best epoch")["value"] == pytest.approx(80)
    assert select(result, metric="validation_rouge", epoch=2)["value"] == 100
    unmatched = select(result, metric="unmatched", rouge="ROUGE-L", aspect="f1")
    assert unmatched["value"] == pytest.approx(200 / 3), "right answers to other questions"


def test_without_snapshots(finetuned: Folders) -> None:
    for path in (finetuned[0] / "snapshots").iterdir():
        path.unlink()
    result = command(finetuned, "rouge", SETTINGS)
    asked = {"metric": "rouge", "rouge": "ROUGE-2", "aspect": "recall"}
    assert select(result, **asked, weights="last")["value"] is not None
    best = select(result, **asked, weights="best epoch")
    assert best["value"] is None and "kept no snapshots" in best["reason"]


def test_answers_do_not_depend_on_the_batch(finetuned: Folders) -> None:
    found = [command(finetuned, "rouge", SETTINGS | {"batch_size": size})["answers"] for size in (1, 3)]
    assert found[0] == found[1]


def test_questions_begin_a_text(finetuned: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the token that a vocabulary has for it, both where answers are drawn and where they are scored."""
    asked: list[list[int]] = []

    def drawn(model: Any, vocabulary: Any, requests: Any, *_: Any) -> Any:
        asked.extend(request.prompt.tolist() for request in requests)
        return iter(())

    def scored(model: Any, sequences: Any, stride: int) -> Any:
        asked.extend(tokens_S.tolist()[:first] for tokens_S, first in sequences)
        return [np.ones(1)] * len(sequences)

    monkeypatch.setattr("mtp.generate.generate", drawn)
    monkeypatch.setattr("mtp.evals._references.token_nats", scored)
    answerer = rouge.Answerer(Model(tiny()), Begins(), SETTINGS)
    answerer.answers(EXAMPLES)
    answerer.preference(EXAMPLES)
    assert len(asked) == 4 + 4 * 4 and {tuple(tokens) for tokens in asked} == {(1, *b"q%d?" % i) for i in range(4)}


def test_without_the_package(finetuned: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    result = command(finetuned, "rouge", SETTINGS)
    assert result["status"] == "unavailable" and "rouge-score is not installed" in result["reason"]


def test_mistakes(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="settings: examples: must be at least 2"):
        rouge.check({**SETTINGS, "examples": 1})
    with pytest.raises(UserError, match="settings: use_stemmer: expected bool"):
        rouge.check({**SETTINGS, "use_stemmer": 1})
    with pytest.raises(UserError, match=r"test\.examples\.jsonl: missing"):
        rouge.run(*folders, SETTINGS, tmp_path, 1)


def test_scores_are_arrays() -> None:
    found = rouge.unmatched(["a b", "b c", "c a"], ["a b", "b c", "c a"], use_stemmer=False)
    assert set(found) == {(kind, aspect) for kind in rouge.KINDS for aspect in rouge.ASPECTS}
    assert all(isinstance(values, np.ndarray) and values.shape == (3,) for values in found.values())

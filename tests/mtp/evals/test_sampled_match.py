"""Sampled answers: a model that knows nothing gets nothing, one that knows the answers all of it; chance is blind."""

from pathlib import Path

import numpy as np
import pytest

import synthetic
from mtp.completions import Sample
from mtp.data.corpora import Synthetic
from mtp.data.vocabulary import ByteVocabulary
from mtp.errors import UserError
from mtp.evals import sampled_match
from mtp.model import Model
from tests.conftest import tiny
from tests.mtp.evals.conftest import Folders, command, one_line, select
from tests.mtp.evals.test_exact_match import folders_of

OPTIONS = {"largest": 4, "train_steps": 1, "test_steps": 2}
SETTINGS = {"questions": 5, "samples": 4, "temperatures": [0.2, 1.4], "top_p": 0.95, "ks": [1, 4], "batch_size": 16}


def problems() -> Synthetic:
    return Synthetic(name="p", task="word_problems", options=OPTIONS, validation_examples=50)


def test_a_random_model(tmp_path: Path) -> None:
    result = command(folders_of(tmp_path, Model(tiny(context=40)), problems()), "sampled_match", SETTINGS)
    for group in ("1", "2", "all"):
        for k in (1, 4):
            assert 0 < select(result, metric="chance", group=group, k=k)["value"] <= 100
            for temperature in (0.2, 1.4, "oracle"):
                row = select(result, metric="pass@k", group=group, k=k, temperature=temperature)
                assert row["value"] == 0 and row["problems"] == (10 if group == "all" else 5) and row["samples"] == 4
    assert select(result, metric="pass@k", group="2", k=1, temperature=0.2)["domain"] == "out"


def test_right_samples_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right is what ends where the answer does and is the answer."""
    task = synthetic.load("word_problems", OPTIONS)
    pairs = [(b"Ann_has_1,_gets_2?", b"3"), (b"Ann_has_4,_gets_4?", b"8")]
    drawn = [
        Sample(0, 0, "3", [51, 255], "end of document"),
        Sample(0, 1, "4", [52, 255], "end of document"),
        Sample(0, 2, "3", [51], "length"),
        Sample(1, 0, "8", [56, 255], "end of document"),
    ]
    asked = []
    monkeypatch.setattr("mtp.generate.generate", lambda _m, _v, requests, *_: asked.extend(requests) or drawn)
    model = Model(tiny(context=40))
    assert sampled_match.right_samples(model, ByteVocabulary(), task, pairs, SETTINGS, 0.2) == [1, 1]
    assert [(r.problem, r.sample) for r in asked] == [(p, s) for p in range(2) for s in range(4)]
    assert bytes(asked[0].prompt.tolist()) == b"Ann_has_1,_gets_2?="


@pytest.mark.parametrize("k", [1, 2, 10])
def test_blind_guesses_cannot_be_bettered(k: int) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(6))

    def right(guesses: np.ndarray) -> float:
        return float((shares * (1 - (1 - guesses) ** k)).sum())

    best = sampled_match.blind(shares, k)
    assert best.sum() == pytest.approx(1) and best.min() >= 0
    others = np.random.default_rng(1).dirichlet(np.ones(6), 500)
    near = np.clip(best + np.random.default_rng(2).normal(0, 0.02, (500, 6)), 0, None)
    tried = np.concatenate([others, near / near.sum(1, keepdims=True), np.eye(6)])
    assert max(map(right, tried)) <= right(best) + 1e-9
    if k == 1:
        assert right(best) == pytest.approx(shares.max())


def test_mistakes(tmp_path: Path, folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command(folders, "sampled_match", SETTINGS)
    assert "sampled_match needs questions: a corpus of kind synthetic" in one_line(capsys)
    with pytest.raises(SystemExit):
        command(folders_of(tmp_path / "short", Model(tiny(context=12)), problems()), "sampled_match", SETTINGS)
    assert "context: 12 is less than the" in one_line(capsys)
    for change, message in (
        ({"ks": [5]}, r"ks: pass@5 needs at least 5 samples, got samples: 4"),
        ({"questions": 1}, "questions: must be at least 2"),
        ({"temperatures": []}, "temperatures: expected a list of numbers"),
        ({"top_p": 0.0}, "top_p must be in"),
    ):
        with pytest.raises(UserError, match=message):
            sampled_match.check({**SETTINGS, **change})

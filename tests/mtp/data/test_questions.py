"""Finetuning sets as prepared folders: documents, examples beside them, and tokens of another corpus."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mtp import finetuning
from mtp.data import build, questions
from mtp.data.corpora import Finetuning, Folder, load_corpus
from mtp.data.tokenizer import tokenize
from mtp.data.vocabulary import Vocabulary
from mtp.errors import UserError
from mtp.finetuning import Example
from mtp.problems import Unavailable
from tests.conftest import ROOT

MADE = {
    "train": [Example(f"{i} and one?", f" {i + 1}", {"sum": i + 1}) for i in range(20)],
    "valid": [Example("40 and one?", " 41")],
    "test": [Example("50 and one?", " 51"), Example("60 and one?", " 61")],
}


class Counting(SimpleNamespace):
    """A set module."""

    VERSION = 1

    def __init__(self, made: dict[str, list[Example]] | Exception) -> None:
        self.made = made

    def check(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    def examples(self, options: dict[str, Any], source: Path | None) -> dict[str, list[Example]]:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


def corpus(monkeypatch: pytest.MonkeyPatch, made: dict[str, list[Example]] | Exception = MADE) -> Finetuning:
    monkeypatch.setattr(finetuning, "module", lambda name: Counting(made))
    return Finetuning(name="sums", set="sums")


def test_documents_are_questions_with_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "sums" / "bytes"
    manifest = questions.build(corpus(monkeypatch), out)
    texts = (out / "train.bin").read_bytes().split(b"\xff")
    assert sorted(texts[:-1]) == sorted((e.question + e.answer).encode() for e in MADE["train"])
    assert texts[:-1] != [(e.question + e.answer).encode() for e in MADE["train"]], "shuffled"
    assert (out / "valid.bin").read_bytes() == b"40 and one? 41\xff"
    assert manifest["examples"] == {"train": 20, "valid": 1, "test": 2}
    assert set(manifest["splits"]) == {"train", "valid"}
    assert finetuning.read(out, "test") == MADE["test"]
    assert finetuning.read(out, "train") == MADE["train"]
    assert len(np.load(out / "train.offsets.npy")) == 20


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (MADE | {"test": []}, "no examples in its split test"),
        (MADE | {"test": MADE["train"][:1]}, "is in train and in test"),
        (Unavailable("get it there"), "corpus sums: get it there"),
    ],
)
def test_what_cannot_be_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        questions.build(corpus(monkeypatch, made), tmp_path / "sums" / "bytes")
    assert not (tmp_path / "sums" / "bytes" / "manifest.json").exists()


def test_tokens_of_another_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = Folder(name="own", path=str(ROOT / "mtp"), pattern="**/*.py", holdout=5)
    build.build(own, tmp_path / "own" / "bytes", tmp_path)
    tokenize(tmp_path / "own" / "bytes", 300, tmp_path / "own" / "bpe300")
    questions.build(corpus(monkeypatch), tmp_path / "sums" / "bytes")
    out = tmp_path / "sums" / "bpe300"
    manifest = tokenize(tmp_path / "sums" / "bytes", 300, out, tmp_path / "own" / "bpe300")
    assert manifest["tokenizer_from"] == "own"
    assert (out / "tokenizer.json").read_bytes() == (tmp_path / "own" / "bpe300" / "tokenizer.json").read_bytes()
    text = Vocabulary.load(out).decode(np.fromfile(out / "valid.bin", np.uint16))
    assert text == b"40 and one? 41"
    assert finetuning.read(out, "test") == MADE["test"]
    with pytest.raises(UserError, match="holds 300 entries, not 400"):
        tokenize(tmp_path / "sums" / "bytes", 400, tmp_path / "sums" / "bpe400", tmp_path / "own" / "bpe300")


def test_a_folder_without_examples(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test\.examples\.jsonl: missing"):
        finetuning.read(tmp_path, "test")


def test_mistakes_in_the_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: finetuning\nset: nothing\n")
    with pytest.raises(UserError, match=r"a\.yaml: set: unknown 'nothing'"):
        load_corpus("a", tmp_path)
    (tmp_path / "b.yaml").write_text(f"kind: finetuning\nset: {finetuning.names()[0]}\ntokenizer: c\n")
    with pytest.raises(UserError, match=r"b\.yaml: tokenizer: no corpus 'c'"):
        load_corpus("b", tmp_path)


def test_shipped_sets_keep_their_promises() -> None:
    for name in finetuning.names():
        made = finetuning.module(name)
        assert isinstance(made.VERSION, int)
        with pytest.raises(UserError, match="no_such_option"):
            made.check({"no_such_option": 1})


def test_examples_survive_json(tmp_path: Path) -> None:
    found = [Example("a\nb", "\u00fc", {"tests": ["assert True"], "n": 1})]
    finetuning.write(tmp_path, "test", found)
    assert finetuning.read(tmp_path, "test") == found
    assert json.loads((tmp_path / "test.examples.jsonl").read_text())["answer"] == "\u00fc"

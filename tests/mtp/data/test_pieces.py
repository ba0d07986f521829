"""SentencePiece vocabularies of others: the bytes of ids are the text, and begins look as in Llama."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.data.encode_pieces import main, prepare
from mtp.data.pieces import BEGIN, END, SPACE, UNKNOWN, SentencePieceVocabulary
from mtp.data.storage import verify
from mtp.data.vocabulary import ByteVocabulary, Vocabulary
from mtp.errors import UserError

TEXTS = [
    "def f(x):\n    return x",
    "",
    " led by a space",
    "\n\n\tand\n by line breaks  ",
    "naïve \N{SNOWMAN} <s></s><unk>",
]


def model_file(path: Path, **changes: Any) -> Path:
    """A tiny model with Llama's settings."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not part of the environment")
    lines = [
        line for i in range(50) for line in (f"def function_{i}(value):", f"    return value + {i}", "if x is None:")
    ]
    written = io.BytesIO()
    settings = {
        "vocab_size": 340, "model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "split_digits": True, "allow_whitespace_only_pieces": True,
        "minloglevel": 2,
    }  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, **settings | changes)
    path.write_bytes(written.getvalue())
    return path


@pytest.fixture
def vocabulary(tmp_path: Path) -> SentencePieceVocabulary:
    return SentencePieceVocabulary(model_file(tmp_path / "tokenizer.model"))


def test_ids_are_the_text(vocabulary: SentencePieceVocabulary) -> None:
    assert (vocabulary.name, vocabulary.size, vocabulary.separator, vocabulary.pad) == ("sp340", 340, END, UNKNOWN)
    for text in TEXTS:
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text.encode()
        assert vocabulary.byte_lengths[ids].sum() == len(text.encode())
        assert not {BEGIN, END, UNKNOWN} & set(ids.tolist())
    assert vocabulary.decode([BEGIN, END, UNKNOWN]) == b""
    assert len(vocabulary.encode("    return value")) < 8, "pieces, not bytes"


def test_begins_are_llamas(vocabulary: SentencePieceVocabulary) -> None:
    ids = vocabulary.begin("def f(x)")
    assert ids[0] == BEGIN and vocabulary.decode(ids) == b" def f(x)"
    assert vocabulary.model.id_to_piece(int(ids[1])).startswith(SPACE)
    assert ByteVocabulary().begin("ab").tolist() == [97, 98]


def test_prepared_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_file(tmp_path / "my.model")
    (tmp_path / "texts").mkdir()
    for i in range(40):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"def function_{i}(value):\n    return value + {i}\n" * (i + 2))
    build(Folder(name="tiny", path=str(tmp_path / "texts"), pattern="*.txt"), tmp_path / "bytes", tmp_path)
    main(["--bytes-dir", str(tmp_path / "bytes"), "--model", str(model), "--out", str(tmp_path / "sp340")])
    assert "sp340, bytes per piece" in capsys.readouterr().out
    manifest, vocabulary = verify(tmp_path / "sp340", deep=True), Vocabulary.load(tmp_path / "sp340")
    assert isinstance(vocabulary, SentencePieceVocabulary)
    for split in ("train", "valid"):
        text = np.fromfile(tmp_path / "bytes" / f"{split}.bin", np.uint8)
        ids = np.fromfile(tmp_path / "sp340" / f"{split}.bin", np.uint16)
        starts = np.load(tmp_path / "sp340" / f"{split}.offsets.npy")
        assert vocabulary.decode(ids) == text[text != 0xFF].tobytes()
        assert (ids[starts[1:] - 1] == END).all() and ids[-1] == END
        assert manifest["splits"][split] == {
            "documents": len(starts), "bytes": int((text != 0xFF).sum()), "tokens": len(ids)
        }  # fmt: skip
    with pytest.raises(UserError, match="holds sp340 tokens; pass the byte-level folder"):
        prepare(tmp_path / "sp340", model, tmp_path / "again")


def test_models_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"have the ids \(2, 0, 1\), but Llama's are"):
        SentencePieceVocabulary(model_file(tmp_path / "m", unk_id=2, bos_id=0, eos_id=1))
    (tmp_path / "m").write_text("nothing")
    with pytest.raises(UserError, match="m: not a SentencePiece model"):
        SentencePieceVocabulary(tmp_path / "m")
    with pytest.raises(UserError, match="no such file; it comes with the weights"):
        SentencePieceVocabulary(tmp_path / "none")


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match=r"sentencepiece cannot be imported .* pip install sentencepiece") as caught:
        SentencePieceVocabulary(tmp_path / "tokenizer.model")
    assert "\n" not in str(caught.value)

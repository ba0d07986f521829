"""Round trips, special tokens and determinism of both vocabularies."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtp.data.storage import sha256_of, verify
from mtp.data.tokenizer import documents, tokenize, train_bpe
from mtp.data.vocabulary import BPEVocabulary, ByteVocabulary, Vocabulary
from mtp.errors import UserError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXT)
def test_bytes_round_trip(text: str) -> None:
    vocabulary = ByteVocabulary()
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert vocabulary.decode(ids) == text.encode()
    assert not {vocabulary.separator, vocabulary.pad} & set(ids.tolist())
    assert vocabulary.byte_lengths[ids].sum() == len(text.encode())


@settings(deadline=None)
@given(
    text=TEXT | st.sampled_from(["<|doc|>", "a<|pad|>b", " \n\t ", "def f(x):\n    return x\n"]), cut=st.integers(0, 50)
)
def test_bpe_round_trip(bpe_folder: Path, text: str, cut: int) -> None:
    vocabulary = load(bpe_folder)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text.encode()
    assert not {vocabulary.separator, vocabulary.pad} & set(ids.tolist())
    # Cut anywhere, also within a character: no byte is lost or replaced.
    assert vocabulary.decode(ids[:cut]) + vocabulary.decode(ids[cut:]) == text.encode()
    assert vocabulary.byte_lengths[ids].sum() == len(text.encode())


LOADED: dict[Path, Vocabulary] = {}


def load(folder: Path) -> Vocabulary:
    return LOADED.setdefault(folder, Vocabulary.load(folder))


def test_specials(bytes_folder: Path, bpe_folder: Path) -> None:
    one, two = Vocabulary.load(bytes_folder), Vocabulary.load(bpe_folder)
    assert (one.name, one.size, one.separator, one.pad) == ("bytes", 256, 0xFF, 0xFE)
    assert (two.name, two.size, two.separator, two.pad) == ("bpe400", 400, 0, 1)
    for vocabulary in (one, two):
        assert vocabulary.byte_lengths.shape == (vocabulary.size,)
        assert np.flatnonzero(vocabulary.byte_lengths == 0).tolist() == sorted([vocabulary.separator, vocabulary.pad])
        assert vocabulary.decode([vocabulary.separator, *vocabulary.encode("ab"), vocabulary.pad]) == b"ab"
    assert {bytes([b]) for b in range(256)} <= set(two.pieces)


def test_tokens_spell_the_documents(bytes_folder: Path, bpe_folder: Path) -> None:
    vocabulary = Vocabulary.load(bpe_folder)
    manifest = verify(bpe_folder, deep=True)
    for split in ("train", "valid"):
        data = np.fromfile(bpe_folder / f"{split}.bin", np.uint16)
        starts = np.load(bpe_folder / f"{split}.offsets.npy")
        assert np.array_equal(starts[1:], np.flatnonzero(data == vocabulary.separator)[:-1] + 1)
        parts = [vocabulary.decode(part).decode() for part in np.split(data, starts[1:])]
        assert parts == list(documents(bytes_folder, split))
        assert manifest["splits"][split]["tokens"] == len(data)
        assert manifest["splits"][split]["bytes"] == verify(bytes_folder)["splits"][split]["bytes"]
    assert manifest["tokenizer_sha256"] == sha256_of(bpe_folder / "tokenizer.json")
    assert manifest["source_manifest_sha256"] == sha256_of(bytes_folder / "manifest.json")


def test_training_is_deterministic_and_sees_the_training_split_only(
    bytes_folder: Path, bpe_folder: Path, tmp_path: Path
) -> None:
    """In another process with another hash seed and one thread."""
    code = (
        "import sys; from pathlib import Path; from mtp.data.tokenizer import documents, train_bpe;"
        "train_bpe(documents(Path(sys.argv[1]), 'train'), 400, Path(sys.argv[2]))"
    )
    out = tmp_path / "tokenizer.json"
    environment = {"PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1", "PYTHONPATH": ".", "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code, str(bytes_folder), str(out)], check=True, env=environment)
    assert out.read_bytes() == (bpe_folder / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("size", [257, 65537])
def test_impossible_sizes(bytes_folder: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(UserError, match=f"vocab-size: must be 258 to 65536 .*got {size}"):
        tokenize(bytes_folder, size, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_smallest_size_is_bytes_and_specials(bytes_folder: Path, tmp_path: Path) -> None:
    tokenize(bytes_folder, 258, tmp_path / "out")
    vocabulary = Vocabulary.load(tmp_path / "out")
    assert len(vocabulary.encode("héron")) == 6


def test_too_little_text_for_the_size(bytes_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"this corpus gives only \d+ entries, not 60000"):
        train_bpe(iter(["some words"]), 60000, tmp_path / "tokenizer.json")
    with pytest.raises(UserError, match="pass the byte-level folder"):
        tokenize(tokenized(bytes_folder, tmp_path), 300, tmp_path / "out")


def tokenized(bytes_folder: Path, tmp_path: Path) -> Path:
    tokenize(bytes_folder, 258, tmp_path / "bpe258")
    return tmp_path / "bpe258"


def test_a_foreign_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such tokenizer"):
        BPEVocabulary(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    with pytest.raises(UserError, match="not a byte-level BPE tokenizer of this project"):
        BPEVocabulary(tmp_path / "tokenizer.json")

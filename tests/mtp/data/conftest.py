"""A small folder of texts, prepared once as bytes and as BPE."""

import random
from pathlib import Path

import pytest

from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.data.tokenizer import tokenize

WORDS = ("the", "river", "stone", "tree", "house", "walks", "sees", "finds", "over", "under", "old", "héron", "—", "木")


def story(seed: int, sentences: int = 40) -> str:
    """Text that no other seed comes near to."""
    draw = random.Random(seed)
    names = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(30)]
    return "\n".join(" ".join(draw.choices([*WORDS, *names], k=12)) + "." for _ in range(sentences)) + "\n"


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    for i in range(60):
        path = root / f"shelf{i % 4}" / f"{i:02d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(story(i))
    return root


@pytest.fixture(scope="session")
def bytes_folder(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "bytes"
    build(Folder(name="texts", path=str(texts), holdout=10), out, out.parent / "cache")
    return out


@pytest.fixture(scope="session")
def bpe_folder(bytes_folder: Path) -> Path:
    out = bytes_folder.parent / "bpe400"
    tokenize(bytes_folder, 400, out)
    return out

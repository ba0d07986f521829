"""What token ids stand for: bytes, or byte-level BPE. Both decode to raw bytes, so partial UTF-8 is never lost.

bytes: 256 entries; 0xFF ends a document and 0xFE pads, neither occurs in UTF-8.
bpe<V>: V entries of a `tokenizer.json`; `<|doc|>` = 0 ends a document and `<|pad|>` = 1 pads.
sp<V>: V pieces of a `tokenizer.model` that came with weights of others (mtp/data/pieces.py).
"""

import abc
import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mtp.data.storage import read_manifest
from mtp.errors import UserError

DOCUMENT_END = "<|doc|>"
PADDING = "<|pad|>"
TOKENIZER = "tokenizer.json"
PIECES = "tokenizer.model"


class Vocabulary(abc.ABC):
    """Common part of all kinds."""

    name: str
    size: int
    """Number of entries V."""
    separator: int
    """Ends every document; stands for no text."""
    pad: int
    """Fills windows; stands for no text and occurs in no document."""
    dtype: type[np.unsignedinteger[Any]]
    """Type of the ids on disk."""
    pieces: tuple[bytes, ...]
    """Bytes of each entry; empty for the separator and the pad."""

    @functools.cached_property
    def byte_lengths(self) -> np.ndarray:
        """int64 [V]: bytes of text that an entry stands for; 0 for the separator and the pad."""
        return np.array([len(piece) for piece in self.pieces], np.int64)

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """int64 ids of the text, without a separator."""

    def begin(self, text: str) -> np.ndarray:
        """int64 ids of a text with which a document begins: what a model is given as a prompt."""
        return self.encode(text)

    def decode(self, ids: Iterable[int]) -> bytes:
        """The bytes that the ids stand for; separators and pads stand for none."""
        return b"".join([self.pieces[i] for i in np.asarray(ids, np.int64).ravel().tolist()])

    def describe(self) -> dict[str, Any]:
        """The manifest's entry."""
        return {
            "name": self.name,
            "size": self.size,
            "separator": self.separator,
            "pad": self.pad,
            "dtype": np.dtype(self.dtype).name,
        }

    @staticmethod
    def load(folder: Path) -> "Vocabulary":
        """The vocabulary of a prepared folder.

        Raises:
            UserError: not a prepared folder, or the tokenizer is missing.
        """
        name = read_manifest(folder)["vocabulary"]["name"]
        if name.startswith("sp"):
            from mtp.data.pieces import SentencePieceVocabulary

            return SentencePieceVocabulary(folder / PIECES)
        return ByteVocabulary() if name == "bytes" else BPEVocabulary(folder / TOKENIZER)


class ByteVocabulary(Vocabulary):
    """The bytes themselves."""

    name = "bytes"
    size = 256
    separator = 0xFF
    pad = 0xFE
    dtype = np.uint8
    pieces = tuple(bytes([b]) if b < 0xFE else b"" for b in range(256))

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int64)


class BPEVocabulary(Vocabulary):
    """Byte-level BPE read from a `tokenizer.json`; only `encode` needs the tokenizers library."""

    dtype = np.uint16

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: file missing, or not written by `mtp.data.tokenizer`.
        """
        self.path = path
        try:
            entries: dict[str, int] = json.loads(path.read_text())["model"]["vocab"]
            self.separator, self.pad = entries[DOCUMENT_END], entries[PADDING]
        except FileNotFoundError:
            raise UserError(f"{path}: no such tokenizer; run `python -m mtp.prepare tokens`") from None
        except (json.JSONDecodeError, KeyError, TypeError):
            raise UserError(f"{path}: not a byte-level BPE tokenizer of this project; prepare it again") from None
        self.size = len(entries)
        self.name = f"bpe{self.size}"
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        pieces = [b""] * self.size
        for entry, i in entries.items():
            if i not in (self.separator, self.pad):
                pieces[i] = bytes(byte_of[character] for character in entry)
        self.pieces = tuple(pieces)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer`; text that spells a special token is encoded as plain text."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.path))
        tokenizer.encode_special_tokens = True
        return tokenizer

    def encode(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)


def byte_characters() -> tuple[str, ...]:
    """The printable character by which byte-level BPE (GPT-2) writes each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(shifted)) for byte in range(256))

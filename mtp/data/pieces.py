"""Text as SentencePiece pieces, for models that others trained.

The `tokenizer.model` is yours (that of Llama 2 lies beside Meta's weights), and reading it needs the package
`sentencepiece`, which this project does not install. Ids 0, 1 and 2 are the unknown piece, the begin and the end of a
text, as in Llama.

SentencePiece writes a space before a text, so that its first word is the piece that it is within a text. Here the
bytes of ids must be the text, hence `encode` leaves that space out; `begin` is how a model has seen texts begin: with
the begin, and with the space.
"""

import functools
from pathlib import Path

import numpy as np

from mtp.data.vocabulary import Vocabulary
from mtp.errors import UserError

UNKNOWN, BEGIN, END = 0, 1, 2
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""How pieces write a space."""
REMEDY = "python -m pip install sentencepiece==0.2.3 adds it to this environment"


class SentencePieceVocabulary(Vocabulary):
    """The pieces of a `tokenizer.model`; unlike the other kinds it needs its library for everything."""

    separator, pad = END, UNKNOWN
    dtype = np.uint16

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the package or the file is missing, or it is no SentencePiece model with Llama's special ids.
        """
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise UserError(f"{path}: sentencepiece cannot be imported ({error}); {REMEDY}") from None
        if not path.is_file():
            raise UserError(f"{path}: no such file; it comes with the weights that it belongs to")
        try:
            model = SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path}: not a SentencePiece model ({str(error).splitlines()[0]})") from None
        special = model.unk_id(), model.bos_id(), model.eos_id()
        if special != (UNKNOWN, BEGIN, END):
            raise UserError(f"{path}: unknown, begin and end have the ids {special}, but Llama's are (0, 1, 2)")
        self.path, self.model = path, model
        self.size = int(model.vocab_size())
        self.name = f"sp{self.size}"
        self.pieces = tuple(self._bytes_of(i) for i in range(self.size))

    def _bytes_of(self, i: int) -> bytes:
        piece: str = self.model.id_to_piece(i)
        if self.model.is_control(i) or self.model.is_unknown(i):
            return b""
        return bytes([int(piece[3:5], 16)]) if self.model.is_byte(i) else piece.replace(SPACE, " ").encode()

    @functools.cached_property
    def _before(self) -> list[int]:
        """Ids of a line break, with the space before it: no piece joins a line break with anything."""
        found: list[int] = self.model.encode("\n")
        return found

    def encode(self, text: str) -> np.ndarray:
        """
        Raises:
            UserError: the model has pieces that join line breaks with what follows.
        """
        ids: list[int] = self.model.encode("\n" + text)
        cut = len(self._before)
        if ids[:cut] != self._before:
            raise UserError(f"{self.path}: joins line breaks with what follows; such models are not supported")
        return np.array(ids[cut:], np.int64)

    def begin(self, text: str) -> np.ndarray:
        return np.array([BEGIN, *self.model.encode(text)], np.int64)

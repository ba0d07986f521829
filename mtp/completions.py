"""Completions: what is asked for, what comes out, and when a row ends. No model here."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from mtp.data.vocabulary import Vocabulary
from mtp.sampling import Sampling

Finish = Literal["stop", "end of document", "length"]


@dataclasses.dataclass(frozen=True)
class Request:
    """One wanted completion; requests of one problem should follow each other, they share its prompt."""

    problem: int
    sample: int
    prompt: np.ndarray
    """Token ids, not empty."""
    limit: int | None = None
    """Most tokens of this completion, where that is less than the sampling's `max_tokens`."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A completion: its text up to the stop, all tokens that were drawn, and why it ended."""

    problem: int
    sample: int
    text: str
    tokens: list[int]
    finish: Finish


class Row:
    """A completion in the making."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.tokens: list[int] = []
        self.finish: Finish | None = None


class Ending:
    """When a row ends, and with what text."""

    def __init__(self, vocabulary: Vocabulary, sampling: Sampling) -> None:
        self.pieces = [vocabulary.decode([i]) for i in range(vocabulary.size)]
        self.separator = vocabulary.separator
        self.stops = [stop.encode() for stop in sampling.stops]
        self.longest = max(map(len, self.stops), default=0)
        last = {stop[-1] for stop in self.stops}
        self.may_stop_V = np.array([any(byte in last for byte in piece) for piece in self.pieces], dtype=bool)
        """Entries that hold the last byte of a stop sequence: only these can complete one."""

    def stopped(self, tokens: Sequence[int]) -> bool:
        """A stop sequence was completed by the last token; looks only at the end of the text."""
        tail = self.pieces[tokens[-1]]
        for token in reversed(tokens[:-1]):
            if len(tail) >= self.longest + len(self.pieces[tokens[-1]]):
                break
            tail = self.pieces[token] + tail
        return any(stop in tail for stop in self.stops)

    def text(self, tokens: Iterable[int]) -> str:
        """Text before the first stop sequence; bytes that are no UTF-8 become U+FFFD."""
        text = b"".join(self.pieces[token] for token in tokens)
        found = [at for stop in self.stops if (at := text.find(stop)) >= 0]
        return text[: min(found)].decode(errors="replace") if found else text.decode(errors="replace")

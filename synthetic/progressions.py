"""Arithmetic progressions: the smallest task with something to find out.

An example is x_0 x_1 = x_2 ... x_{L-1} with x_i = (start + i * step) mod V: two symbols tell start and step, the rest
follows. `start` is uniform in 0 .. V - 1 and `step` in 1 .. V - 1, which makes V (V - 1) sequences. A test sequence
is never seen whole, but its parts occur in longer stretches of training sequences that started elsewhere: what is
tested is to infer and continue, not to extrapolate.

The paper has no such task; it is the suite's "hello world".
"""

import dataclasses

import numpy as np

from synthetic._random import Words, hashed
from synthetic._task import PRINTABLE, Candidates, Drawn, need


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Drawn):
    """Sequences start + i * step mod V."""

    scores = ("exact", "symbols")
    symbols: int = 61
    """V: numbers 0 .. V - 1, one symbol each."""
    length: int = 16
    """L: numbers of a sequence, the two given ones included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(3 <= self.symbols <= len(PRINTABLE), f"symbols: must be 3 to {len(PRINTABLE)}, got {self.symbols}")
        need(self.length >= 3, f"length: must be at least 3, got {self.length}")

    @property
    def groups(self) -> tuple[str, ...]:
        return ("all",)

    @property
    def longest_answer(self) -> int:
        return self.length - 2

    def chance(self, group: str) -> float:
        """Of one fixed answer: V (V - 1) sequences are equally likely."""
        return 1 / (self.symbols * (self.symbols - 1))

    def score(self, question: bytes, right: bytes, given: bytes) -> dict[str, float]:
        """`exact`, and `symbols`: the share of the answer's places that hold the right symbol."""
        places = sum(a == b for a, b in zip(right, given, strict=False))
        return {**super().score(question, right, given), "symbols": places / len(right)}

    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        start_K1 = words.below(self.symbols, count, 1)
        step_K1 = 1 + words.below(self.symbols - 1, count, 1)
        x_KL = (start_K1 + np.arange(self.length) * step_K1) % self.symbols
        symbols_KL = np.frombuffer(PRINTABLE, np.uint8)[x_KL]
        equals_K1 = np.full((count, 1), ord("="), np.uint8)
        text_KL = np.concatenate([symbols_KL[:, :2], equals_K1, symbols_KL[:, 2:]], axis=1)
        return Candidates(text_KL, hashed(np.concatenate([start_K1, step_K1], axis=1)))

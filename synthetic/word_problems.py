"""Arithmetic in words: a stand-in for GSM8K (Figure S13) that small models can learn from nothing.

    example  = name "_has_" number event+ "?=" number
    event    = ",_" verb "_" number

as in `Ann_has_3,_gets_4,_sells_2?=5` ("_" stands for a blank: symbols are printable). An event of the verbs
"gets", "finds" and "buys" adds, one of "sells", "loses" and "drops" takes away, never more than there is. A problem of
m steps has m events. Names and verbs are uniform; which name and which of the verbs that mean the same does not matter
for the answer. The start and what is added are uniform in 1 .. `largest`, what is taken away is uniform in
1 .. the smaller of `largest` and what there is. Adding and taking away are equally likely unless nothing is left.

Test questions are never seen in training, but their numbers and verbs are, in other stories. The paper has no such
task, and this is not GSM8K: no worked steps, no world knowledge, one sentence form.
"""

import dataclasses

import numpy as np

from synthetic._random import Words, hashed
from synthetic._task import Candidates, Drawn, need

NAMES = ("Ann", "Ben", "Eve", "Ida", "Kim", "Leo", "Max", "Zoe")
MORE, LESS = ("gets", "finds", "buys"), ("sells", "loses", "drops")


def _padded(words: tuple[str, ...]) -> np.ndarray:
    """uint8 [words, longest]: a word per row, zeros behind it."""
    width = max(map(len, words))
    return np.array([list(word.encode().ljust(width, b"\0")) for word in words], np.uint8)


def _number(value_K: np.ndarray, digits: int) -> np.ndarray:
    """uint8 [K, digits]: decimal digits with zeros (no symbol) in front."""
    power_D = 10 ** np.arange(digits - 1, -1, -1)
    digit_KD = value_K[:, None] // power_D % 10
    shown_KD = (value_K[:, None] >= power_D) | (power_D == 1)
    return np.where(shown_KD, digit_KD + ord("0"), 0).astype(np.uint8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Drawn):
    """Little stories about how many things somebody has."""

    largest: int = 9
    """Of the numbers in the question."""
    train_steps: int = 2
    """Training problems have 1 to this many steps."""
    test_steps: int = 2
    """Test groups are 1 to this many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(1 <= self.largest <= 99, f"largest: must be 1 to 99, got {self.largest}")
        need(
            1 <= self.train_steps <= self.test_steps,
            f"train_steps: must be 1 to test_steps: {self.test_steps}, got {self.train_steps}",
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """Numbers of steps."""
        return tuple(str(m) for m in range(1, self.test_steps + 1))

    @property
    def in_domain(self) -> frozenset[str]:
        return frozenset(str(m) for m in range(1, self.train_steps + 1))

    @property
    def longest_answer(self) -> int:
        return len(str(self.largest * (self.test_steps + 1)))

    def chance(self, group: str) -> float:
        """Of the commonest answer, whose share is computed, not drawn."""
        share_V = np.zeros(self.largest * (self.test_steps + 1) + 1)
        share_V[1 : self.largest + 1] = 1 / self.largest
        for _ in range(int(group)):
            after_V = np.zeros_like(share_V)
            for value, share in enumerate(share_V):
                most = min(self.largest, value)
                adding = 0.5 if most else 1.0
                if share:
                    after_V[value + 1 : value + self.largest + 1] += adding * share / self.largest
                    after_V[value - most : value] += (1 - adding) * share / max(most, 1)
            share_V = after_V
        return float(share_V.max())

    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        if group is None:
            steps_K = 1 + words.below(self.train_steps, count)
        else:
            steps_K = np.full(count, int(group))
        digits = len(str(self.largest))
        value_K = 1 + words.below(self.largest, count)
        parts = [
            _padded(NAMES)[words.below(len(NAMES), count)],
            _always("_has_", count),
            _number(value_K, digits),
        ]
        for step in range(int(steps_K.max())):
            open_K1 = (steps_K > step)[:, None]
            adds_K = (words.below(2, count) == 0) | (value_K == 0)
            most_K = np.where(adds_K, self.largest, np.minimum(self.largest, value_K))
            by_K = 1 + words.below(most_K, count)
            verb_K = words.below(len(MORE), count) + np.where(adds_K, 0, len(MORE))
            event = (_always(",_", count), _padded(MORE + LESS)[verb_K], _always("_", count), _number(by_K, digits))
            parts += [np.where(open_K1, part, 0).astype(np.uint8) for part in event]
            value_K = np.where(open_K1[:, 0], value_K + np.where(adds_K, by_K, -by_K), value_K)
        question_KL = np.concatenate([*parts, _always("?", count)], axis=1)
        answer_KD = _number(value_K, self.longest_answer)
        return Candidates(np.concatenate([question_KL, _always("=", count), answer_KD], axis=1), hashed(question_KL))


def _always(text: str, count: int) -> np.ndarray:
    """uint8 [count, length]: the same text in every row."""
    return np.tile(np.frombuffer(text.encode(), np.uint8), (count, 1))

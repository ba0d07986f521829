"""What a synthetic task is: examples `question=answer`, each a function of the task's options, split, seed and index.

A task is one file of this folder with a class `Generator`: a frozen dataclass, mostly a `Drawn`, whose fields are its
options.
Every symbol is one byte of printable ASCII, so that an example is a document of the `bytes` vocabulary.

Training and test examples never share a question: a hash of the question puts it on one side for good, and a
candidate that falls on the other side is drawn again. So that this stays fast and any example can be made again from
its index, examples are drawn in blocks, each from its own random words.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from mtp.errors import UserError
from synthetic._random import Words

Split = Literal["train", "test"]
CANDIDATES = 4096
"""Examples that are drawn at once."""
BLOCK = {"train": 4096, "test": 256}
"""Examples of a block. Few candidates are test questions, and few test examples are needed."""
PRINTABLE = bytes(b for b in b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") + bytes(
    b for b in range(33, 127) if not chr(b).isalnum() and chr(b) not in "=|/"
)
"""Symbols for numbered things, in order: digits, letters, punctuation but for the signs of the grammar."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """K examples in one array.

    >>> examples = Examples.of([b"1+1=2", b"2+2=4"])
    >>> examples[1], examples.split(1)
    (b'2+2=4', (b'2+2', b'4'))
    """

    text_S: np.ndarray
    """uint8: the examples one after another, without separators."""
    starts_K: np.ndarray
    """int64 [K + 1]: where each begins, and the end of the last."""

    @staticmethod
    def of(texts: list[bytes]) -> "Examples":
        lengths = [len(text) for text in texts]
        return Examples(np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *lengths], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts_K) - 1

    def __getitem__(self, i: int) -> bytes:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.text_S[self.starts_K[i] : self.starts_K[i + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[i] for i in range(len(self)))

    def split(self, i: int) -> tuple[bytes, bytes]:
        """Question and answer of an example."""
        question, _, answer = self[i].partition(b"=")
        return question, answer


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Examples before it is decided which belong to the split."""

    text_KL: np.ndarray
    """uint8 [K, L]: a text per row, its symbols in order; zeros anywhere between them are left out."""
    hash_K: np.ndarray
    """uint64 [K]: equal for equal questions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """A family of examples. Fields are options; `__post_init__` refuses what is out of range with a `UserError`."""

    scores: ClassVar[tuple[str, ...]] = ("exact",)
    """What `score` tells of an answer."""

    test_one_in: int = 16
    """One question in this many is a test question (by its hash)."""

    def __post_init__(self) -> None:
        need(self.test_one_in >= 2, f"test_one_in: must be at least 2, got {self.test_one_in}")

    @property
    @abc.abstractmethod
    def groups(self) -> tuple[str, ...]:
        """Groups of test examples, in order."""

    @property
    def in_domain(self) -> frozenset[str]:
        """The groups that training covers: all, unless a task says otherwise."""
        return frozenset(self.groups)

    @property
    @abc.abstractmethod
    def longest_answer(self) -> int:
        """Bytes of the longest answer."""

    @abc.abstractmethod
    def chance(self, group: str) -> float:
        """How often an answer is right that does not depend on what the task asks one to find out, 0 to 1."""

    def score(self, question: bytes, right: bytes, given: bytes) -> dict[str, float]:
        """What a given answer is worth, each of `scores` 0 to 1; `exact` is 1 if it is right."""
        return {"exact": float(given == right)}

    @abc.abstractmethod
    def examples(self, split: Split, seed: int, start: int, count: int, group: str | None = None) -> Examples:
        """Examples start .. start + count - 1 of an endless sequence.

        Args:
            split: "train" or "test"; they share no question.
            seed: of the sequence.
            start: index of the first, 0 or more.
            count: how many.
            group: one of `groups`; None draws as training does.

        Raises:
            UserError: an unknown split or group, or a group without questions on this side of the split.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn(Task):
    """A task whose questions are drawn independently of each other, in blocks."""

    @abc.abstractmethod
    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        """Draw `count` examples of a group, or of the training mixture (None)."""

    def examples(self, split: Split, seed: int, start: int, count: int, group: str | None = None) -> Examples:
        """See `Task.examples`."""
        need(split in BLOCK, f"split: {split!r} is neither 'train' nor 'test'")
        need(group is None or group in self.groups, f"group: {group!r} is none of {', '.join(self.groups)}")
        size = BLOCK[split]
        texts, starts = [], [np.zeros(1, np.int64)]
        total = 0
        for block in range(start // size, -(-(start + count) // size)):
            whole = _block(self, split, seed, group, block)
            first, last = max(0, start - block * size), min(size, start + count - block * size)
            begin, end = whole.starts_K[first], whole.starts_K[last]
            texts.append(whole.text_S[begin:end])
            starts.append(whole.starts_K[first + 1 : last + 1] - begin + total)
            total += int(end - begin)
        return Examples(np.concatenate(texts) if texts else np.zeros(0, np.uint8), np.concatenate(starts))


def need(ok: bool, message: str) -> None:
    """
    Raises:
        UserError: with this message, unless `ok`.
    """
    if not ok:
        raise UserError(message)


@functools.lru_cache(maxsize=8)
def _block(task: Drawn, split: Split, seed: int, group: str | None, block: int) -> Examples:
    words = Words(type(task).__module__, split, seed, group, block)
    kept: list[np.ndarray] = []
    for _ in range(4 + 2 * task.test_one_in):
        drawn = task.candidates(words, group, CANDIDATES)
        is_test_K = drawn.hash_K % np.uint64(task.test_one_in) == 0
        kept.append(drawn.text_KL[is_test_K == (split == "test")])
        if sum(map(len, kept)) >= BLOCK[split]:
            break
    rows_KL = np.concatenate(kept)[: BLOCK[split]]
    need(
        len(rows_KL) == BLOCK[split],
        f"{task}: too few {split} questions{f' in group {group}' if group else ''}; the task is too small for"
        f" test_one_in: {task.test_one_in}",
    )
    present_KL = rows_KL != 0
    return Examples(rows_KL[present_KL], np.concatenate([[0], present_KL.sum(1).cumsum()]))

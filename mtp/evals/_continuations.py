"""Questions with four answers from held-out prose: which continuation belongs to this context? No torch.

Two tasks: "next sentence", where a context ends with a sentence and the continuation is the next one of its paragraph;
and "rest of a sentence", where the context ends in the middle of a sentence and the continuation is what is left of it.

Questions come in sets of four continuations of nearly equal length from four documents, and each set is asked four
times, once in the context of each of its continuations. Whoever does not read the context chooses the same continuation
all four times and is right exactly once: chance is 25 % for any preference for lengths, words or style, not only for
guessing. It needs no word list and no other data, so that any corpus of prose has questions of its own.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from synthetic._random import Words

NEXT, REST = "next sentence", "rest of a sentence"
TASKS = (NEXT, REST)
CHOICES = 4
LENGTHS = {NEXT: range(40, 161), REST: range(60, 161)}
"""Bytes of the sentences that are asked about."""
SHORTEST_REST = 20
"""Bytes."""
ALIKE = 1.15
"""The longest continuation of a set is at most this many times as long as the shortest."""
LOOKED_AT = 64
"""Next longer continuations among which the others of a set are sought."""

_END = re.compile(r"""[.!?]["')]*\s+(?=["'(]?[A-Z])""")
_SHORTENED = re.compile(r"\b(?:Mr|Mrs|Dr|St|Messrs|[A-Z])\.$")


@dataclasses.dataclass(frozen=True)
class Continuation:
    """A continuation and the context that it belongs to; context + text is a part of the document."""

    document: int
    context: str
    text: str
    """Begins with the space that separates it from the context."""


def sentences(paragraph: str) -> Iterator[tuple[int, int]]:
    """Where each sentence of a paragraph begins and ends, the white space behind it left out."""
    start = 0
    for found in _END.finditer(paragraph):
        if not _SHORTENED.search(paragraph, start, found.start() + 1):
            yield start, len(paragraph[: found.end()].rstrip())
            start = found.end()
    if paragraph[start:].strip():
        yield start, len(paragraph.rstrip())


def continuations(documents: Sequence[str], task: str, context: int) -> list[Continuation]:
    """All that the documents offer for a task.

    Args:
        task: one of `TASKS`.
        context: characters of context that are kept, from the beginning of a word on. A text without so many before
            the continuation offers fewer.
    """
    found = []
    for k, document in enumerate(documents):
        at = 0
        for paragraph in document.split("\n"):
            for i, (start, end) in enumerate(sentences(paragraph)):
                sentence = paragraph[start:end]
                if len(sentence.encode()) not in LENGTHS[task]:
                    continue
                if task == NEXT:
                    cut = at + start - 1 if i else -1  # the first sentence of a paragraph does not follow a space
                else:
                    space = sentence.find(" ", len(sentence) // 2)
                    cut = at + start + space if space > 0 and len(sentence) - space >= SHORTEST_REST else -1
                if cut > 0:
                    before = document[max(0, cut - context) : cut]
                    before = before if cut <= context else before[before.find(" ") + 1 :]
                    found.append(Continuation(k, before, document[cut : at + end]))
            at += len(paragraph) + 1
    return found


def sets(documents: Sequence[str], task: str, count: int, context: int, seed: int) -> list[tuple[Continuation, ...]]:
    """Up to `count` sets of four continuations of four documents; a pure function of its arguments.

    Every continuation is in one set at most; which sets are kept is drawn.
    """
    pool = continuations(documents, task, context)
    tie_K = Words("choices", task, seed).below(2**31, len(pool))
    by_length = sorted(range(len(pool)), key=lambda i: (len(pool[i].text.encode()), int(tie_K[i])))
    used: set[int] = set()
    made: list[tuple[Continuation, ...]] = []
    for place, shortest in enumerate(by_length):
        if shortest in used:
            continue
        chosen, seen = [shortest], {pool[shortest].document}
        for i in itertools.islice(by_length, place + 1, place + 1 + LOOKED_AT):
            if len(pool[i].text.encode()) > ALIKE * len(pool[shortest].text.encode()):
                break
            if i not in used and pool[i].document not in seen:
                chosen.append(i)
                seen.add(pool[i].document)
            if len(chosen) == CHOICES:
                used.update(chosen)
                made.append(tuple(pool[j] for j in chosen))
                break
    order_K = Words("choices", task, seed, "kept").below(2**31, len(made))
    kept = sorted(sorted(range(len(made)), key=lambda i: (int(order_K[i]), i))[:count])
    return [made[i] for i in kept]

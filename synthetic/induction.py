"""Induction: after "Musola" has been met, "Mus" is followed by "ola" (Section 4.1, Figures 7 and S14).

The characters' names in a story are replaced by made-up names of exactly two parts; asked for is the second part of
every mention after the first. Text-free here: which stories, and what a model says, is elsewhere
(`mtp/data/stories.py`, `mtp/evals/induction.py`). Needs only numpy.

The paper does not say how its names were drawn, whether the halves may repeat, how often a name is met before, or what
becomes of possessives. Chosen here: within a story all names have different first halves, so that a name once met
determines its second half; second halves are drawn uniformly from all that the pool knows for a first half, so that
without the story no guess is right more often than `Pool.chance`; every occurrence of a name as a whole word is
replaced, "Alice's" included. A mention that does not follow a space (after a quote, at the start of a paragraph) has
other tokens than the rest in a BPE vocabulary; it is replaced but not asked for.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mtp.errors import UserError
from synthetic._random import Words
from synthetic._task import Examples, Split, Task, need

CONSONANTS, VOWELS = "bdfghjklmnprstvwz", "aeiou"
FIRSTS, SECONDS = 64, 64
"""At most so many first halves, and second halves for each: enough for any story, and chance stays near 2 %."""
SELDOM = 5
"""A token that training text holds less often has not been learnt."""


@dataclasses.dataclass(frozen=True)
class Pool:
    """Names by their first half."""

    seconds: Mapping[str, tuple[str, ...]]

    def chance(self, first: str) -> float:
        """How often the best guess of a second half is right for someone who has not read the story."""
        return 1 / len(self.seconds[first])

    def draw(self, words: Words, count: int) -> list[tuple[str, str]]:
        """At most `count` names with different first halves (fewer if the pool has fewer)."""
        firsts = list(self.seconds)
        names = []
        for _ in range(min(count, len(firsts))):
            first = firsts.pop(int(words.below(len(firsts), 1)[0]))
            second = self.seconds[first][int(words.below(len(self.seconds[first]), 1)[0])]
            names.append((first, second))
        return names


@functools.cache
def byte_pool(known: frozenset[str] = frozenset()) -> Pool:
    """Names such as "Mus" + "ola": halves of three letters, so that no second half begins another one.

    Args:
        known: words in lower case; neither a name nor its first half is one of them.
    """
    seconds = [a + b + c for a in VOWELS for b in CONSONANTS for c in VOWELS]
    firsts = [a.upper() + b + c for a in CONSONANTS for b in VOWELS for c in CONSONANTS if a + b + c not in known]
    return _pool(_some(firsts, FIRSTS), _some(seconds, SECONDS), known, lambda name, first: True)


def token_pool(
    pieces: Sequence[bytes], encode: Callable[[str], np.ndarray], known: frozenset[str], counts_V: np.ndarray
) -> Pool:
    """Names that are exactly two tokens after a space: " Mus" and "iest".

    Second halves are tokens that the text holds seldom, so that what follows them elsewhere says little about them.

    Args:
        pieces: bytes of each token.
        encode: text -> ids.
        known: words in lower case; neither a name nor its first half is one of them.
        counts_V: how often the training text holds each token.

    Raises:
        UserError: the vocabulary has no such names.
    """
    ids = {piece.decode("ascii", "ignore"): i for i, piece in enumerate(pieces)}

    def two_tokens(name: str, first: str) -> bool:
        spelt = encode(" " + name)
        return len(spelt) == 2 and spelt[0] == ids[" " + first] and bool(set(name.lower()) & set(VOWELS))

    firsts = [piece[1:] for piece in ids if re.fullmatch(" [A-Z][a-z]{1,4}", piece) and piece[1:].lower() not in known]
    seconds = [piece for piece in ids if re.fullmatch("[a-z]{2,5}", piece) and counts_V[ids[piece]] >= SELDOM]
    seconds.sort(key=lambda piece: (counts_V[ids[piece]], piece))
    pool = _pool(_some(firsts, FIRSTS), seconds[:SECONDS], known, two_tokens)
    if not pool.seconds:
        raise UserError(f"vocabulary of {len(pieces)} entries: no made-up name is two tokens; use more, or bytes")
    return pool


def _some(halves: list[str], count: int) -> list[str]:
    """At most `count` of them, by a fixed random order."""
    order = np.argsort(Words("induction", "halves").below(2**31, len(halves)), kind="stable")
    return [halves[i] for i in order[:count]]


def _pool(
    firsts: Sequence[str], seconds: Sequence[str], known: frozenset[str], keep: Callable[[str, str], bool]
) -> Pool:
    """First halves with at least ten second halves, so that chance stays low for each."""
    found = {
        first: tuple(
            second
            for second in seconds
            if 5 <= len(first + second) <= 8 and (first + second).lower() not in known and keep(first + second, first)
        )
        for first in firsts
    }
    return Pool({first: fitting for first, fitting in found.items() if len(fitting) >= 10})


@dataclasses.dataclass(frozen=True)
class Mention:
    """One occurrence of a name in a story's text."""

    who: int
    start: int
    """Index of its first character."""
    cut: int
    """Characters of the first half; 0 in an unchanged story, where it depends on the vocabulary."""
    length: int


@dataclasses.dataclass(frozen=True)
class Story:
    """A text and where its names stand."""

    text: str
    mentions: tuple[Mention, ...]
    halves: tuple[tuple[str, str], ...]
    """The made-up names by `Mention.who`; empty in an unchanged story."""


def rename(text: str, names: Sequence[str], halves: Sequence[tuple[str, str]]) -> Story:
    """The story with names[i] replaced by halves[i] wherever it stands as a word; without `halves` unchanged.

    With fewer halves than names the most frequent names are replaced and the rest is left as it is.
    """
    counts = {name: len(re.findall(rf"\b{name}\b", text)) for name in names}
    chosen = sorted(counts, key=lambda name: (-counts[name], name))[: len(halves) or len(names)]
    if not chosen:
        return Story(text, (), ())
    parts: list[str] = []
    mentions = []
    at = done = 0
    for match in re.finditer(rf"\b(?:{'|'.join(map(re.escape, chosen))})\b", text):
        who = chosen.index(match[0])
        first, second = halves[who] if halves else ("", match[0])
        parts += [text[done : match.start()], first + second]
        at += match.start() - done
        mentions.append(Mention(who, at, len(first), len(first + second)))
        at += len(first + second)
        done = match.end()
    return Story("".join([*parts, text[done:]]), tuple(mentions), tuple(halves[: len(chosen)]))


@dataclasses.dataclass(frozen=True)
class Place:
    """A mention in tokens."""

    who: int
    start: int
    """Its first token."""
    first: int
    end: int
    """The tokens of the second half are first .. end - 1; none (0, 0) where it is not asked for."""

    @property
    def asked(self) -> bool:
        return self.end > self.first


def places(story: Story, lengths_S: np.ndarray) -> list[Place]:
    """Where the mentions stand among the story's tokens, given the bytes of each token.

    In an unchanged story the second part of a name is all tokens but the first; where every byte is a token, the
    second half of its letters. Names of one token have none.
    """
    bytes_before = np.cumsum([0, *(len(c.encode()) for c in story.text)])
    begins = np.cumsum([0, *lengths_S])
    single_bytes = bool((np.asarray(lengths_S) == 1).all())

    def token_at(offset: int) -> int:
        """The token that begins here; -1 if none does."""
        i = int(np.searchsorted(begins, offset))
        return i if begins[i] == offset else -1

    found = []
    for mention in story.mentions:
        start, end = (int(bytes_before[mention.start + k]) for k in (0, mention.length))
        inside = int(np.searchsorted(begins, start, "right")) - 1
        lead = token_at(start) if single_bytes else token_at(start - 1)
        if mention.cut:
            cut = int(bytes_before[mention.start + mention.cut])
        elif single_bytes:
            cut = start + (end - start + 1) // 2
        else:
            cut = int(begins[inside + 1])
        first, last = token_at(cut), token_at(end)
        after_space = mention.start > 0 and story.text[mention.start - 1] == " "
        asked = after_space and lead >= 0 and start < cut < end and first >= 0 and last >= 0
        found.append(Place(mention.who, inside, *((first, last) if asked else (0, 0))))
    return found


@dataclasses.dataclass(frozen=True)
class Question:
    """A second half that a model shall predict, and the window in which it reads what stands before."""

    place: Place
    window: int
    """First token of the window."""
    seen: bool
    """Whether the name stands in the window before, in the same tokens; else it stands there in no form at all."""


def questions(found: Sequence[Place], context: int) -> list[Question]:
    """Every second half that is asked for, each once, in windows of `context` inputs that overlap by half.

    So there are half a window or more before it, or the whole story. Whether a name has been met is decided inside the
    window: what a model cannot see it cannot repeat. A mention that was met only in other tokens is left out.
    """
    stride = max(1, context // 2)
    asked = []
    for i, place in enumerate(found):
        if not place.asked:
            continue
        # The target at index t is predicted from input t - 1; the last must lie in the window.
        window = max(0, -(-(place.end - 1 - context) // stride)) * stride
        before = [p for p in found[:i] if p.who == place.who and p.start >= window]
        if not before or any(p.asked for p in before):
            asked.append(Question(place, window, bool(before)))
    return asked


SAMPLE_STORIES = (
    "One day Anna and Bertram went to the pond. At first Anna saw nothing, but soon Bertram pointed at the reeds."
    " There sat a heron, and Anna laughed.",
    "In the mill lived Clara. Every night Clara heard a knock, and every night Diederik slept. So Clara took a lamp"
    " and woke Diederik, and together they found the cat.",
    "The smallest boat belonged to Emmo. When the wind fell, Frieda rowed for Emmo, and Emmo sang. Nobody sang as badly"
    " as Emmo, said Frieda.",
    "Before the winter Greta hid nuts under the stairs. In spring Greta had forgotten where, so Hanno dug for days,"
    " and Greta watched Hanno dig.",
)
"""Written for this file, so that `python -m synthetic show induction` needs no download."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Task):
    """One question per example, about the stories above: the text before the second half, and the second half.

    Stories, not questions, are training or test: the last one in four is test. What is measured in Figures 7 and S14
    are real stories, through `mtp/evals/induction.py`.
    """

    test_one_in: int = 4

    @property
    def groups(self) -> tuple[str, ...]:
        return ("all",)

    @property
    def longest_answer(self) -> int:
        return 3

    def chance(self, group: str) -> float:
        return byte_pool().chance("Mus")

    def examples(self, split: Split, seed: int, start: int, count: int, group: str | None = None) -> Examples:
        """See `Task.examples`."""
        need(split in ("train", "test"), f"split: {split!r} is neither 'train' nor 'test'")
        need(group in (None, "all"), f"group: {group!r} is not all")
        is_test = [i % self.test_one_in == self.test_one_in - 1 for i in range(len(SAMPLE_STORIES))]
        texts = [text for text, test in zip(SAMPLE_STORIES, is_test, strict=True) if test == (split == "test")]
        need(bool(texts), f"test_one_in: {self.test_one_in} leaves no {split} story")
        return Examples.of([_example(texts[i % len(texts)], split, seed, i) for i in range(start, start + count)])


def _example(text: str, split: str, seed: int, index: int) -> bytes:
    """A story with names drawn from (split, seed, index), up to one of its mentions."""
    words = Words("induction", split, seed, index)
    names = sorted(set(re.findall(r"(?<=[a-z] )[A-Z][a-z]+", text)))
    story = rename(text, names, byte_pool().draw(words, len(names)))
    length = len(story.text)
    asked = [q for q in questions(places(story, np.ones(length, np.int64)), length) if q.seen]
    place = asked[int(words.below(len(asked), 1)[0])].place
    return f"{story.text[: place.first]}={story.text[place.first : place.end]}".encode()

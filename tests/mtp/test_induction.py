"""The scorer: against models whose answers are known."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mtp.data.told import Told
from mtp.data.vocabulary import ByteVocabulary
from mtp.induction import Asked, answers, ask
from mtp.model import Model
from synthetic.induction import Pool, byte_pool
from tests.conftest import tiny

STORIES = [
    Told("One day Anna saw Bo, and Bo saw Anna. Off ran Bo! Then Anna laughed at Bo, and Bo at Anna.", ("Anna", "Bo")),
    Told("In the mill sat Clara. Soon Clara slept, and all slept with Clara.", ("Clara",)),
]


class Player:
    """Plays a model: a state is the logits of the next byte, after what `says` makes of the text so far."""

    def __init__(self, context: int) -> None:
        self.config = SimpleNamespace(context=context, n_future=1)

    def parameters(self) -> Iterator[Tensor]:
        return iter([torch.zeros(1)])

    def says(self, text: bytes) -> np.ndarray:
        raise NotImplementedError

    def head_states(self, window_BS: Tensor, T: int) -> Iterator[tuple[int, Tensor]]:
        rows = [bytes(row.tolist()) for row in window_BS]
        states = [[self.says(row[: t + 1]) for t in range(T)] for row in rows]
        yield 0, torch.from_numpy(np.array(states))

    def logits(self, head: int, h_MD: Tensor) -> Tensor:
        return h_MD


class Inducer(Player):
    """What followed the last time that these three bytes were here."""

    def says(self, text: bytes) -> np.ndarray:
        at = text[:-1].rfind(text[-3:])
        found = np.zeros(256)
        if at >= 0:
            found[text[at + 3]] = 1
        return found


class Unigram(Player):
    """Always the same, whatever it has read: "o" before "i" before all else."""

    def says(self, text: bytes) -> np.ndarray:
        return np.where(np.arange(256) == ord("o"), 2.0, np.arange(256) == ord("i"))


def told(player: type[Player], asked: list[Asked], context: int) -> Any:
    return answers(cast(Model, player(context)), asked, batch_size=3)


def test_an_inducer_knows_every_name_that_it_has_met() -> None:
    asked = ask(STORIES, ByteVocabulary(), byte_pool(), context=100)
    seen = np.array([one.question.seen for one in asked])
    assert (seen.sum(), (~seen).sum()) == (9, 3), "Anna 4 times, Bo 5, Clara 3"
    assert {one.story for one in asked} == {0, 1}
    found = told(Inducer, asked, 100)
    assert np.array_equal(found.right_Q, seen)
    assert (found.preferred_Q[seen] == 1).all()


def test_in_a_short_window_it_knows_only_what_stands_there() -> None:
    asked = ask(STORIES, ByteVocabulary(), byte_pool(), context=40)
    seen = np.array([one.question.seen for one in asked])
    assert 0 < seen.sum() < 9
    assert np.array_equal(told(Inducer, asked, 40).right_Q, seen)


def test_a_unigram_model_is_at_chance() -> None:
    """Second halves of one byte, of which it guesses one: right as often as that one is drawn."""
    pool = Pool({first: tuple("aeiouyx") for first in ("Mus", "Zar", "Tib")})
    asked = [one for i in range(100) for one in ask(STORIES, ByteVocabulary(), pool, context=100, index=i)]
    chance = np.array([one.chance for one in asked])
    assert chance == pytest.approx(1 / 7)
    found = told(Unigram, asked, 100)
    # 300 names are independent, mentions of one are not.
    names = np.unique([(i // 12, one.story, one.question.place.who) for i, one in enumerate(asked)], axis=0)
    assert len(names) == 300
    assert stats.binomtest(round(found.right_Q.mean() * 300), 300, 1 / 7).pvalue > 0.01
    assert np.nanmean(found.preferred_Q) == pytest.approx((1 + 5 / 6) / 7, abs=0.05), "ties count as not preferred"


def test_unchanged_names_have_no_chance_level() -> None:
    asked = ask(STORIES, ByteVocabulary(), None, context=100)
    assert len(asked) == 12 and np.isnan([one.chance for one in asked]).all()
    assert np.isnan(told(Unigram, asked, 100).preferred_Q).all()


def test_a_real_model_answers_alike_whatever_the_batch() -> None:
    config = tiny(n_future=2, context=40)
    asked = ask(STORIES, ByteVocabulary(), byte_pool(), context=40)
    model = Model(config).eval()
    one, other = (answers(model, asked, batch_size=size) for size in (1, 8))
    assert np.array_equal(one.preferred_Q, other.preferred_Q) and np.array_equal(one.right_Q, other.right_Q)

"""Arithmetic in words: answers are what the story says, chance is what is computed."""

import re
from collections import Counter

import pytest

from synthetic import load
from synthetic.word_problems import LESS, MORE, NAMES


@pytest.mark.parametrize("options", [{}, {"largest": 30, "train_steps": 1, "test_steps": 3}])
def test_answers_are_what_the_stories_say(options: dict[str, int]) -> None:
    task = load("word_problems", options)
    for group in task.groups:
        examples = task.examples("test", 0, 0, 300, group)
        for question, answer in map(examples.split, range(300)):
            name, start, events = re.fullmatch(r"([A-Z][a-z]{2})_has_(\d+)(.*)\?", question.decode()).groups()  # type: ignore[union-attr]
            told = re.findall(r",_([a-z]+)_(\d+)", events)
            assert name in NAMES and len(told) == int(group) and "".join(f",_{v}_{n}" for v, n in told) == events
            value = int(start)
            for verb, by in told:
                assert verb in MORE + LESS and 1 <= int(by) <= task.largest and not by.startswith("0")
                value += int(by) if verb in MORE else -int(by)
                assert value >= 0
            assert str(value).encode() == answer


@pytest.mark.parametrize("group", ["1", "2"])
def test_chance_is_the_share_of_the_commonest_answer(group: str) -> None:
    task = load("word_problems", {"largest": 5})
    examples = task.examples("train", 0, 0, 8192, group)
    answers = Counter(examples.split(i)[1] for i in range(len(examples)))
    assert answers.most_common(1)[0][1] / len(examples) == pytest.approx(task.chance(group), abs=0.02)


def test_questions_are_short() -> None:
    task = load("word_problems", {})
    assert max(len(text) for text in task.examples("train", 0, 0, 4096)) <= 32

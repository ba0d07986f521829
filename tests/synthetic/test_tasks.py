"""What holds for every synthetic task (induction, whose examples are stories, has tests of its own)."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp.errors import UserError
from synthetic import Examples, load, names
from synthetic.__main__ import main
from synthetic._random import Words, hashed

SMALL: dict[str, dict[str, Any]] = {
    "grid_world": {"turns": 3, "longest": 5},
    "path_star": {"degree": 2, "path_length": 3, "nodes": 10},
    "polynomial": {"modulus": 3, "degree": 2, "train_operations": 2, "test_operations": 3},
    "progressions": {"symbols": 23, "length": 8},
    "word_problems": {"largest": 4, "train_steps": 1, "test_steps": 2},
}

GOLDEN = {
    "grid_world": [
        "#...#...#...#/>.#...#...#.*/#...#.X##...#=RURRDRRURRDRRDRRUR",
        "#.....#....#...X##/>.###...##...###.*/#.....#....#.....#=RURRRRDRRURRRDRRDRRRRUR",
        "#...#...#...#/>.#...#...#.*/#...#...#.X##=RURRDRRDRRURRURRDR",
        "#....#..X##.....#/>.##...##...###.*/#....#....#...X##=RDRRRURRDRRRURRURRRRDR",
    ],
    "path_star": [
        "46|63|59|45/43=463",
        "43|85|31|48/41=431",
        "67|23|39|26/29=239",
        "80|98|24|92/94=924",
    ],
    "polynomial": [
        "+10-12=01",
        "+2110=01",
        "-+*211002=10",
        "@-00-10=00",
    ],
    "progressions": [
        "gd=a741li",
        "gl=38di05",
        "3c=l7g2bk",
        "dc=ba9876",
    ],
    "word_problems": [
        "Ann_has_1,_finds_1?=2",
        "Leo_has_3,_loses_2?=1",
        "Eve_has_1,_sells_1,_buys_2?=2",
        "Ben_has_2,_sells_1,_gets_4?=5",
    ],
}


@pytest.fixture(params=sorted(set(names()) - {"induction"}))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_golden_examples(name: str) -> None:
    """Examples are part of what a result means: other ones are another experiment."""
    task = load(name, SMALL[name])
    texts = [*task.examples("train", 0, 0, 2), *task.examples("test", 0, 0, 2, task.groups[-1])]
    assert [text.decode() for text in texts] == GOLDEN[name]


def test_any_example_can_be_made_again_from_its_index(name: str) -> None:
    task = load(name, SMALL[name])
    for split, start in (("train", 4090), ("test", 250)):
        many = task.examples(split, 3, start, 20)
        assert len(many) == 20
        again = load(name, SMALL[name])
        assert [again.examples(split, 3, start + i, 1)[0] for i in range(20)] == list(many)
        assert list(task.examples(split, 4, start, 20)) != list(many)
    assert len(task.examples("train", 0, 7, 0)) == 0


def test_other_processes_make_the_same_examples(name: str, root: Path) -> None:
    code = f"from synthetic import load; print(load({name!r}, {SMALL[name]!r}).examples('train', 1, 9, 1)[0])"
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(load(name, SMALL[name]).examples("train", 1, 9, 1)[0])


def test_train_and_test_share_no_question(name: str) -> None:
    """Small tasks, so that both sides are nearly exhausted."""
    task = load(name, {**SMALL[name], "test_one_in": 4})
    train, test = set[bytes](), set[bytes]()
    for group in (None, *task.groups):
        for seed in (0, 1):
            examples = task.examples("train", seed, 0, 4096, group)
            train |= {examples.split(i)[0] for i in range(len(examples))}
        examples = task.examples("test", 0, 0, 512, group)
        test |= {examples.split(i)[0] for i in range(len(examples))}
    assert train and test and not train & test


def test_documents_are_one_question_and_one_answer_in_printable_ascii(name: str) -> None:
    task = load(name, SMALL[name])
    for group in (None, *task.groups):
        examples = task.examples("test", 0, 0, 64, group)
        assert examples.text_S.dtype == np.uint8 and examples.starts_K.dtype == np.int64
        assert set(examples.text_S.tolist()) <= set(range(33, 127))
        for i, text in enumerate(examples):
            question, answer = examples.split(i)
            assert text.count(b"=") == 1 and question and 0 < len(answer) <= task.longest_answer
            assert task.score(question, answer, answer) == dict.fromkeys(task.scores, 1.0)
            assert task.score(question, answer, b"")["exact"] == 0


def test_training_stays_in_domain(name: str) -> None:
    task = load(name, SMALL[name])
    assert task.in_domain <= set(task.groups)
    assert all(0 < task.chance(group) < 1 for group in task.groups)


def test_answers_that_ignore_the_question_score_at_chance(name: str) -> None:
    """The best fixed answer, and a unigram model: the commonest symbol of the training text at every place."""
    task = load(name, SMALL[name])
    for group in task.groups:
        train, test = task.examples("train", 0, 0, 4096, group), task.examples("test", 0, 0, 1024, group)
        fixed = Counter(train.split(i)[1] for i in range(len(train))).most_common(1)[0][0]
        commonest = Counter(train.text_S.tolist()).most_common(1)[0][0]
        for answer in (fixed, bytes([commonest]) * task.longest_answer):
            rights = [task.score(question, right, answer)["exact"] for question, right in map(test.split, range(1024))]
            # Few test questions are distinct in tasks so small, hence the wide margin.
            assert np.mean(rights) <= task.chance(group) + 0.1


def test_options_are_checked(name: str) -> None:
    with pytest.raises(UserError, match=f"options of {name}: test_one: unknown key; did you mean 'test_one_in'"):
        load(name, {"test_one": 2})
    with pytest.raises(UserError, match="test_one_in: expected int, got '2'"):
        load(name, {"test_one_in": "2"})
    with pytest.raises(UserError, match="test_one_in: must be at least 2"):
        load(name, {"test_one_in": 1})


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("polynomial", {"modulus": 4}, "modulus: must be 2, 3, 5 or 7"),
        ("polynomial", {"degree": 0}, "degree: must be 1 to 16"),
        ("polynomial", {"train_operations": 11}, "train_operations: must be 1 to test_operations: 10"),
        ("polynomial", {"pauses": -1}, "pauses: must be 0 or more"),
        ("path_star", {"degree": 1}, "degree: must be at least 2"),
        ("path_star", {"path_length": 2}, "path_length: must be at least 3"),
        ("path_star", {"nodes": 8}, r"nodes: must be 9 \(the size of the graph\) to 91, got 8"),
        ("progressions", {"symbols": 92}, "symbols: must be 3 to 91"),
        ("progressions", {"length": 2}, "length: must be at least 3"),
        ("word_problems", {"largest": 0}, "largest: must be 1 to 99, got 0"),
        ("word_problems", {"train_steps": 3}, "train_steps: must be 1 to test_steps: 2, got 3"),
        ("grid_world", {"turns": 0}, "turns: must be at least 1"),
        ("grid_world", {"longest": 2}, "longest: must be at least 3"),
        ("polynomials", {}, "unknown 'polynomials'; did you mean 'polynomial'"),
    ],
)
def test_values_out_of_range_are_refused(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(task, options)


def test_a_task_without_test_questions_says_so() -> None:
    task = load("progressions", {"symbols": 3, "length": 3, "test_one_in": 99})
    with pytest.raises(UserError, match="too few test questions; the task is too small for test_one_in: 99"):
        task.examples("test", 0, 0, 1)
    with pytest.raises(UserError, match="group: '11' is none of all"):
        task.examples("train", 0, 0, 1, "11")
    with pytest.raises(UserError, match="split: 'valid' is neither"):
        task.examples("valid", 0, 0, 1)  # type: ignore[arg-type]


def test_examples_know_their_places() -> None:
    examples = Examples.of([b"a=b", b"cd=ef"])
    assert len(examples) == 2 and list(examples) == [b"a=b", b"cd=ef"]
    assert examples.split(1) == (b"cd", b"ef")
    with pytest.raises(IndexError):
        examples[2]


def test_random_words_are_uniform_and_hashes_tell_rows_apart() -> None:
    counts = np.bincount(Words("a").below(7, 70000), minlength=7)
    assert len(counts) == 7 and abs(counts - 10000).max() < 500  # five standard deviations
    bounds = np.array([1, 2, 3])
    assert (Words("a").below(bounds, 1000, 3).max(0) == bounds - 1).all()
    assert (Words("a").below(7, 10) == Words("a").below(7, 10)).all()
    assert (Words("a").below(7, 10) != Words("b").below(7, 10)).any()
    rows = np.stack(np.meshgrid(np.arange(30), np.arange(30), np.arange(30)), -1).reshape(-1, 3)
    hashes = hashed(rows)
    assert len(set(hashes.tolist())) == len(rows)
    assert abs(np.mean(hashes % np.uint64(16) == 0) - 1 / 16) < 0.01


def test_the_command_line_prints_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "path_star" in capsys.readouterr().out
    options = '{"modulus": 3, "degree": 2, "train_operations": 2, "test_operations": 3}'
    assert main(["show", "polynomial", "--options", options, "--count", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == GOLDEN["polynomial"][:2]
    assert main(["show", "polynomial", "--options", "{"]) == 2
    assert "--options: not JSON" in capsys.readouterr().err
    assert main(["show", "polynomials"]) == 2
    assert "unknown 'polynomials'" in capsys.readouterr().err

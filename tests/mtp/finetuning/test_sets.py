"""Finetuning sets: what every set promises, and what each of ours says about its own examples."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp import finetuning
from mtp.data.storage import write_manifest
from mtp.data.vocabulary import ByteVocabulary
from mtp.errors import UserError
from mtp.evals.contests import problem_of
from mtp.finetuning import SPLITS, code_contests, docstrings, small_contests, summaries
from mtp.problems import Unavailable, _hub
from mtp.sandbox import run_programs
from mtp.sandbox.programs import program
from tests.mtp.evals.conftest import isolated

FUNCTION = 'def {name}(x):\n    """{line}\n\n    More.\n    """\n    return x + {number}\n'


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared bytes of files of three functions: one of its own, one the same everywhere, one without a docstring."""
    folder = tmp_path_factory.mktemp("code")
    splits = {}
    for split, first, count in (("train", 0, 40), ("valid", 100, 6)):
        texts = [
            FUNCTION.format(name=f"add_{i}", line=f"Add {i} to x.", number=i)
            + FUNCTION.format(name="same", line="Twice the same.", number=0)
            + f"class A:\n    def bare(self):\n        return {i}\n"
            for i in range(first, first + count)
        ]
        lengths = np.array([len(text) + 1 for text in texts])
        (folder / f"{split}.bin").write_bytes(b"".join(text.encode() + b"\xff" for text in texts))
        np.save(folder / f"{split}.offsets.npy", np.cumsum(lengths) - lengths)
        splits[split] = {"documents": count}
    write_manifest(folder, {"vocabulary": ByteVocabulary().describe(), "splits": splits})
    return folder


OPTIONS: dict[str, dict[str, Any]] = {
    "small_contests": {}, "docstrings": {}, "code_contests": {"solutions": 2}, "summaries": {"dataset": "XSum"},
}  # fmt: skip
"""Of every set; a new set needs an entry."""


def as_tests(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    return {"input": [given for given, _ in pairs], "output": [printed for _, printed in pairs]}


def contest(number: int) -> dict[str, Any]:
    """A row of CodeContests: print a number plus `number`."""
    right = f"print(int(input()) + {number})\n"
    return {
        "name": f"{number}_add", "description": f"Add {number}.\r\nRead x.",
        "solutions": {"language": [2, 3, 3], "solution": ["int main(){}", right, right]},
        "incorrect_solutions": {"language": [3, 1], "solution": ["print(0)\n", "print 0"]},
        "public_tests": as_tests([("1\n", f"{1 + number}\n")]),
        "private_tests": as_tests([("5\n", f"{5 + number}\n")]),
        "generated_tests": as_tests([]),
    }  # fmt: skip


def hub(dataset: str, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
    """Rows as the hub has them; every split its own."""
    first = {"train": 0, "valid": 50, "validation": 50, "test": 60}[options["split"]]
    numbers = range(first, first + 4)
    if dataset == code_contests.DATASET:
        return [contest(i) for i in numbers]
    return [{"document": f"Long text {i} about it.", "summary": f"It {i}.", "id": i} for i in (0, *numbers)]


def made(name: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[finetuning.Example]]:
    monkeypatch.setattr(_hub, "rows", hub)
    module = finetuning.module(name)
    found: dict[str, list[finetuning.Example]] = module.examples(module.check(OPTIONS[name]), code)
    return found


@pytest.mark.parametrize("name", finetuning.names())
def test_every_set(name: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(name, code, monkeypatch)
    assert set(found) == set(SPLITS) and all(found.values())
    pairs = {split: {(e.question, e.answer) for e in examples} for split, examples in found.items()}
    assert not pairs["train"] & pairs["test"] and not pairs["train"] & pairs["valid"]
    assert not pairs["valid"] & pairs["test"]
    assert found == made(name, code, monkeypatch), "a pure function of its options"
    for examples in found.values():
        for example in examples:
            # A prompt must be encoded as it is within its document: BPE never joins across these borders.
            assert not example.question[-1].isspace() and example.question + example.answer
    module = finetuning.module(name)
    assert isinstance(module.VERSION, int) and module.NAME
    with pytest.raises(UserError, match="unknown key"):
        module.check({**OPTIONS[name], "sede": 1})


def test_the_documents_of_small_contests_are_short() -> None:
    for examples in small_contests.examples(small_contests.check({})).values():
        assert all(len(example.question + example.answer) < 120 for example in examples)


def test_small_contests_ask_for_known_families_with_other_parameters() -> None:
    found = small_contests.examples(small_contests.check({}))
    ids = {split: {e.about["task_id"] for e in examples} for split, examples in found.items()}
    families = {split: {task.split("/")[1].split("-")[0] for task in tasks} for split, tasks in ids.items()}
    assert families["train"] == families["valid"] == families["test"] and len(families["test"]) > 30
    assert not ids["train"] & ids["test"] and not ids["valid"] & ids["test"]
    tags = [example.about["correct"] for example in found["train"]]
    assert 0.5 < sum(tags) / len(tags) < 0.8
    assert all(example.about["correct"] == example.question.endswith("# correct") for example in found["train"])
    assert all(example.about["correct"] for example in found["test"])
    assert found != small_contests.examples(small_contests.check({"seed": 1}))


def test_every_family_has_a_wrong_solution_for_all_parameters() -> None:
    found = small_contests.examples(small_contests.check({"problems": 64, "right_per_wrong": 1}))
    assert sum(e.about["correct"] for e in found["train"]) == sum(not e.about["correct"] for e in found["train"])


@isolated
@pytest.mark.parametrize("name", ["small_contests", "code_contests"])
def test_right_solutions_pass_and_wrong_ones_fail(name: str, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(name, code, monkeypatch)
    asked = [example for split in SPLITS for example in found[split] if "tests" in example.about]
    verdicts = run_programs([program(problem_of(e), e.answer) for e in asked], 2)
    assert [verdict.verdict == "passed" for verdict in verdicts] == [e.about.get("correct", True) for e in asked]
    assert len(asked) > 3


def test_codecontests_takes_python_3_only(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made("code_contests", code, monkeypatch)
    assert [(e.question, e.answer) for e in found["train"][:2]] == [
        ('"""\nAdd 0.\nRead x.\n"""\n# correct', "\nprint(int(input()) + 0)\n"),
        ('"""\nAdd 0.\nRead x.\n"""\n# incorrect', "\nprint(0)\n"),
    ]
    assert len(found["train"]) == 8, "equal solutions count once"
    about = found["test"][0].about
    assert about["tests"].count("assert") == 2 and about["quoted"] and about["task_id"] == "CodeContests/60_add"
    options = code_contests.check({"problems": 1, "tests": 1})
    few = code_contests.examples(options)
    assert len(few["train"]) == 2 and few["test"][0].about["tests"].count("assert") == 1


def test_docstrings(code: Path) -> None:
    found = docstrings.examples(docstrings.check({"test": 3, "train": 20}), code)
    assert {split: len(examples) for split, examples in found.items()} == {"train": 20, "valid": 4, "test": 3}
    example = found["test"][0]
    assert example.question.endswith('\n"""') and example.answer.startswith("Add 10")
    assert '"""' not in example.question.removesuffix('"""') and "More" not in example.question
    ast.parse(example.question.removesuffix('"""'))
    everything = docstrings.examples(docstrings.check({}), code)
    assert sum(e.question.startswith("def same") for examples in everything.values() for e in examples) == 1
    assert not any("bare" in e.question for examples in everything.values() for e in examples)
    short = docstrings.examples(docstrings.check({"question_bytes": 38}), code)
    assert max(len(e.question) for e in short["test"]) <= 38
    assert list(docstrings.functions("def f(:")) == []
    with pytest.raises(UserError, match="source: missing"):
        docstrings.examples(docstrings.check({}), None)
    with pytest.raises(UserError, match="no function of the split train"):
        docstrings.examples(docstrings.check({"question_bytes": 3}), code)


def test_summaries(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made("summaries", code, monkeypatch)
    assert found["test"][0].question == "Long text 0 about it.\n\nSummary:" and found["test"][0].answer == " It 0."
    assert len(found["test"]) == 5 and len(found["train"]) == 3, "what the test holds is not trained on"
    cut = summaries.examples(summaries.check({"dataset": "XSum", "text_characters": 9, "examples": 1}))
    assert [e.question for e in cut["train"]] == ["Long text\n\nSummary:"]
    with pytest.raises(UserError, match=r"options: dataset: unknown 'Xsum'; did you mean 'XSum'"):
        summaries.check({"dataset": "Xsum"})
    with pytest.raises(UserError, match=r"abisee/cnn_dailymail@\w+: no column 'article'"):
        summaries.examples(summaries.check({"dataset": "CNN/Dailymail"}))


def test_without_a_hub_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        raise Unavailable("no network (test)")

    monkeypatch.setattr(_hub, "rows", nothing)
    for name in ("code_contests", "summaries"):
        module = finetuning.module(name)
        with pytest.raises(Unavailable, match=r"no network \(test\); prepare it where the hub can be reached"):
            module.examples(module.check(OPTIONS[name]))

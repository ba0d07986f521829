"""CodeContests (Li et al., 2022) with tagged solutions, from the hub only (Section 3.6, Appendix F; CC BY 4.0).

The Python 3 solutions of the training problems, right ones tagged `# correct` and wrong ones `# incorrect`; the 165
test problems are asked for with the tag `# correct`. The paper gives neither its prompt nor the form of its tags; these
are ours. A program reads standard input and is judged as those of APPS are (`mtp/problems/apps.py`), by the public,
private and generated tests together.
"""

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtp.finetuning import Example
from mtp.problems import Unavailable, _hub
from mtp.problems.apps import PRINTED, READS_INPUT
from mtp.settings import checked, positive

NAME = "CodeContests"
"""In results."""
VERSION = 1
DATASET, REVISION = "deepmind/code_contests", "802411c3010cb00d1b05bad57ca77365a3c699d6"
PYTHON3 = 3
"""The data set's number for the language."""
RIGHT, WRONG = "# correct", "# incorrect"
STOPS = (RIGHT, WRONG)
REMEDY = "prepare it where the hub can be reached, and copy the prepared folder"


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: solutions (most of a training problem, right and wrong each, drawn by seed; 0: all), problems (only the
    first so many of training), tests (most per problem, public ones first; 0: all), seed.

    Raises:
        UserError: naming the option.
    """
    found = checked(options, {}, {"solutions": int, "problems": int, "tests": int, "seed": int})
    positive(found, "problems")
    return {"solutions": 0, "tests": 0, "seed": 0} | found


def examples(options: Mapping[str, Any], source: Path | None = None) -> dict[str, list[Example]]:
    """Training: one example per solution. Validation: a right solution per problem. Test: one example per problem that
    has tests. `source` is not read.

    Raises:
        Unavailable: the hub cannot be had.
    """
    draw = random.Random(options["seed"])
    found: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
    for row in _rows("train", options.get("problems")):
        for tag, solutions in (
            (RIGHT, python3(row["solutions"])),
            (WRONG, python3(row["incorrect_solutions"])),
        ):
            most = options["solutions"] or len(solutions)
            chosen = draw.sample(solutions, min(most, len(solutions)))
            found["train"] += [Example(question(row, tag), "\n" + text, {"correct": tag == RIGHT}) for text in chosen]
    for row in _rows("valid"):
        found["valid"] += [Example(question(row, RIGHT), "\n" + text) for text in python3(row["solutions"])[:1]]
    for row in _rows("test"):
        if tests := tests_of(row, options["tests"]):
            found["test"].append(Example(question(row, RIGHT), answer(row), about(row, tests)))
    known = {(example.question, example.answer) for split in ("valid", "test") for example in found[split]}
    found["train"] = [example for example in found["train"] if (example.question, example.answer) not in known]
    return found


def _rows(split: str, most: int | None = None) -> Iterable[dict[str, Any]]:
    try:
        for number, row in enumerate(_hub.rows(DATASET, split=split, revision=REVISION, streaming=True)):
            if number == most:
                return
            yield row
    except Unavailable as error:
        raise Unavailable(f"{DATASET}: {error}; {REMEDY}") from None


def python3(solutions: Mapping[str, list[Any]]) -> list[str]:
    """The Python 3 programs among the solutions of a row, each once."""
    pairs = zip(solutions["language"], solutions["solution"], strict=True)
    return list(dict.fromkeys(text.replace("\r\n", "\n") for language, text in pairs if language == PYTHON3))


def question(row: Mapping[str, Any], tag: str) -> str:
    """The problem as a docstring, and the tag."""
    return f'"""\n{row["description"].strip()}\n"""\n{tag}'.replace("\r\n", "\n")


def answer(row: Mapping[str, Any]) -> str:
    """A right Python 3 program of a problem; empty where the data set has none."""
    programs = python3(row["solutions"])
    return "\n" + programs[0] if programs else ""


def tests_of(row: Mapping[str, Any], most: int) -> list[tuple[str, str]]:
    """Input and expected output of a problem's tests: public, private, generated; the first `most`, or all."""
    found = [
        pair
        for kind in ("public_tests", "private_tests", "generated_tests")
        for pair in zip(row[kind]["input"], row[kind]["output"], strict=True)
    ]
    return found[: most or len(found)]


def about(row: Mapping[str, Any], tests: list[tuple[str, str]]) -> dict[str, Any]:
    """What the evaluation `contests` needs of a test problem."""
    return {
        "task_id": f"{NAME}/{row['name']}",
        "opening": READS_INPUT,
        "reference": answer(row),
        "prelude": PRINTED,
        "tests": "".join(f"assert same(run({given!r}), {printed!r})\n" for given, printed in tests),
        "entry_points": ["run"],
        "stops": list(STOPS),
        "quoted": True,
    }

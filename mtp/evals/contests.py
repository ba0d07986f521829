"""pass@k on the test problems of a finetuning set of programs, tagged as correct (Section 3.6, Figure 4).

The problems are those of the run's own corpus: CodeContests, or the stand-in `small contests`. Every one is asked for
with the tag that right solutions have in training. As the paper does, each k takes its best temperature ("oracle").
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp import finetuning
from mtp.data.storage import read_manifest
from mtp.errors import UserError
from mtp.evals import _code, _drawing
from mtp.problems import Problem

VERSION = 1
METRICS = _code.METRICS
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.evals._drawing",)
"""Modules whose code decides what is drawn; that the problems are the same is checked when they are judged."""
PARTS = ("task_id", "opening", "reference", "prelude", "tests")
check = _code.check


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where programs cannot be executed."""
    _code.ready()


def problem_of(example: finetuning.Example) -> Problem:
    """The problem behind a test example; what is needed beside the question lies in `about`."""
    about = example.about
    return Problem(
        prompt=example.question,
        entry_points=tuple(about["entry_points"]),
        stops=tuple(about.get("stops", ())),
        quoted=about.get("quoted", False),
        **{part: about[part] for part in PARTS},
    )


def problems_of(data_dir: Path) -> tuple[str, tuple[Problem, ...]]:
    """Label and test problems of a finetuning set.

    Raises:
        UserError: no finetuning set, or one without problems.
    """
    name = read_manifest(data_dir).get("corpus", {}).get("set")
    if name is None:
        raise UserError(
            f"{data_dir}: is not a finetuning set; the evaluation contests asks problems of the run's corpus"
        )
    examples = finetuning.read(data_dir, "test")
    if any("tests" not in example.about for example in examples):
        raise UserError(f"{data_dir}: its test examples have no tests that a program could pass")
    return finetuning.module(name).NAME, tuple(problem_of(example) for example in examples)


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: those of `humaneval`.

    Raises:
        UserError: missing files, or as `problems_of`.
    """
    _, problems = problems_of(data_dir)
    return _drawing.draw("contests", problems, model_dir, data_dir, settings, out_dir, identity)


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """
    Raises:
        UserError: programs that could not be executed, or as `problems_of`.
    """
    name, problems = problems_of(data_dir)
    return _code.judge("contests", name, problems, drawn, settings, out_dir, workers)

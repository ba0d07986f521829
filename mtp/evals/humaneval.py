"""pass@k on HumanEval (Chen et al., 2021), zero-shot, and what replaces it for small models (`mtp.evals._code`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.evals import _code, _drawing
from mtp.problems import humaneval

VERSION = 2
METRICS = _code.METRICS
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.evals._drawing", "mtp.problems.humaneval")
"""Modules whose code decides what is drawn."""
check = _code.check


def ready_to_draw(settings: Mapping[str, Any]) -> None:
    """Raises `UserError` where the problems are missing."""
    humaneval.load()


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where programs cannot be executed, `UserError` where the problems are missing."""
    humaneval.load()
    _code.ready()


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: samples per problem, temperatures, top_p, max_tokens, ks, batch_size (rows that decode together),
    mutants per reference and problems (only the first so many).

    Raises:
        UserError: missing files.
    """
    return _drawing.draw("humaneval", humaneval.load(), model_dir, data_dir, settings, out_dir, identity)


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """
    Raises:
        UserError: programs that could not be executed.
    """
    return _code.judge("humaneval", humaneval.NAME, humaneval.load(), drawn, settings, out_dir, workers)

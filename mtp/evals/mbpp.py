"""pass@k on MBPP (Austin et al., 2021), and what replaces it for small models (`mtp.evals._code`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.evals import _code, _drawing
from mtp.problems import Problem, mbpp

VERSION = 1
METRICS = _code.METRICS
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.evals._drawing", "mtp.problems.mbpp")
"""Modules whose code decides what is drawn."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = _code.check(settings, {"split": str, "style": str}, {"folder": str})
    for key, known in (("split", mbpp.SPLITS), ("style", mbpp.STYLES)):
        if found[key] not in known:
            raise UserError(f"settings: {key}: unknown {found[key]!r}{nearest(found[key], known)} ({', '.join(known)})")
    return found


def ready_to_draw(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the data set is missing."""
    mbpp.locate(settings.get("folder", ""))


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the data set is missing or programs cannot be executed."""
    ready_to_draw(settings)
    _code.ready()


def problems_of(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """All of the split."""
    return mbpp.load(settings["split"], settings["style"], settings.get("folder", ""))


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: those of humaneval; split and style of the prompt (`mtp.problems.mbpp`), folder with mbpp.jsonl.

    Raises:
        UserError: missing files.
    """
    return _drawing.draw("mbpp", problems_of(settings), model_dir, data_dir, settings, out_dir, identity)


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """
    Raises:
        UserError: programs that could not be executed.
    """
    return _code.judge("mbpp", mbpp.NAME, problems_of(settings), drawn, settings, out_dir, workers)

"""pass@k on the introductory problems of APPS (Hendrycks et al., 2021), zero-shot (`mtp.evals._code`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.evals import _code, _drawing
from mtp.problems import apps

VERSION = 1
METRICS = _code.METRICS
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.evals._drawing", "mtp.problems.apps")
"""Modules whose code decides what is drawn."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    return _code.check(settings, optional={"folder": str})


def ready_to_draw(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the data set is missing."""
    apps.locate(settings.get("folder", ""))


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the data set is missing or programs cannot be executed."""
    ready_to_draw(settings)
    _code.ready()


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: those of humaneval, and the folder with apps.jsonl.gz.

    Raises:
        UserError: missing files.
    """
    problems = apps.load(settings.get("folder", ""))
    return _drawing.draw("apps", problems, model_dir, data_dir, settings, out_dir, identity)


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """
    Raises:
        UserError: programs that could not be executed.
    """
    problems = apps.load(settings.get("folder", ""))
    return _code.judge("apps", apps.NAME, problems, drawn, settings, out_dir, workers)

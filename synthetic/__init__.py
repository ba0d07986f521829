"""Synthetic tasks: pure functions of (options, split, seed, index), numpy only, one file each.

    >>> task = load("progressions", {"symbols": 10, "length": 6})
    >>> task.examples("train", seed=0, start=0, count=2)[0]
    b'...'

`python -m synthetic show TASK` prints examples. The file name is the registration (synthetic/_task.py).
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from synthetic._task import Examples as Examples
from synthetic._task import Task as Task


def names() -> tuple[str, ...]:
    """The tasks: the file names of this folder."""
    return tuple(sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")))


def _generator(task: str) -> Any:
    return importlib.import_module(f"synthetic.{task}").Generator


def scores() -> tuple[str, ...]:
    """What the tasks tell of an answer, all together."""
    return tuple(dict.fromkeys(score for task in names() for score in _generator(task).scores))


def load(task: str, options: Mapping[str, Any]) -> Task:
    """A task with these options, and defaults for the rest.

    Raises:
        UserError: an unknown task or option, or a value of the wrong type or out of range.
    """
    if task not in names():
        raise UserError(f"task: unknown {task!r}{nearest(task, names())} (known: {', '.join(names())})")
    generator = _generator(task)
    defaults = {field.name: field.default for field in dataclasses.fields(generator)}
    for key, value in options.items():
        if key not in defaults:
            raise UserError(
                f"options of {task}: {key}: unknown key{nearest(key, defaults)} (known: {', '.join(defaults)})"
            )
        kind = type(defaults[key])
        if type(value) is not kind:
            raise UserError(f"options of {task}: {key}: expected {kind.__name__}, got {value!r}")
    try:
        made: Task = generator(**options)
    except UserError as error:
        raise UserError(f"options of {task}: {error}") from None
    return made

"""Finetuning sets: questions with answers. Each file here makes one, and its name is the set's. No torch.

A set is a module with VERSION (raise it when its examples change), `check(options)`, which returns the options or
raises `UserError`, and `examples(options, source)`: a pure function of both that returns the splits `train`, `valid`
and `test`, which share no example. `source` is the prepared bytes folder of another corpus, where a set is made of one.
It raises `mtp.problems.Unavailable`, with the remedy, where its data cannot be had.
"""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError

SPLITS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Example:
    """A document is the question followed by the answer; at evaluation the model continues the question."""

    question: str
    answer: str
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What an evaluation needs beside, as JSON has it: tests, a number, a name."""


def names() -> tuple[str, ...]:
    """Names of all sets, sorted; files that start with an underscore are helpers."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def module(name: str) -> Any:
    """The module of a set.

    Raises:
        UserError: no such set.
    """
    if name not in names():
        raise UserError(f"set: unknown {name!r}{nearest(name, names())} (known: {', '.join(names())})")
    return importlib.import_module(f"mtp.finetuning.{name}")


def file_of(split: str) -> str:
    """Name of a split's examples in a prepared folder."""
    return f"{split}.examples.jsonl"


def write(folder: Path, split: str, examples: list[Example]) -> None:
    """A line of JSON per example."""
    lines = [json.dumps(dataclasses.asdict(example), sort_keys=True) for example in examples]
    (folder / file_of(split)).write_text("".join(f"{line}\n" for line in lines))


def read(folder: Path, split: str) -> list[Example]:
    """The examples of a split, in order.

    Args:
        folder: prepared folder of a finetuning corpus, bytes or tokens.

    Raises:
        UserError: the folder holds no such examples.
    """
    path = folder / file_of(split)
    try:
        return [Example(**json.loads(line)) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {folder} is not a finetuning set of this project") from None

"""Benchmarks: each file here is one, and its name is the benchmark's. No torch.

Those of programs have tests that can be run; GSM8K asks for numbers.

    python -m mtp.problems list
    python -m mtp.problems show MBPP/11 --style 3-shot

    from mtp.problems import load
    load("mbpp", split="validation", style="zero-shot")[0].prompt

A benchmark is a module with NAME (in results), `load(**options)` and, where its data do not come with a package, FILE
and `fetch(folder, out)`. `load` raises `Unavailable` where the data are not here, and never asks the network for them.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.problems import _files
from mtp.problems._problem import Problem, Unavailable

__all__ = ["Problem", "Unavailable", "fetched", "lacking", "load", "module", "names", "needed"]


def names() -> tuple[str, ...]:
    """Names of all benchmarks, sorted; files that start with an underscore are helpers."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")))


def module(name: str) -> Any:
    """The module of a benchmark.

    Raises:
        UserError: no such benchmark.
    """
    if name not in names():
        raise UserError(f"benchmark: unknown {name!r}{nearest(name, names())} (known: {', '.join(names())})")
    return importlib.import_module(f"mtp.problems.{name}")


def fetched() -> tuple[str, ...]:
    """Those whose data come with no package."""
    return tuple(name for name in names() if hasattr(module(name), "fetch"))


def needed(evaluation: str, settings: Mapping[str, Any]) -> list[str]:
    """The fetched benchmarks that an evaluation is of: the one that it bears the name of, or those that its settings
    list under `benchmarks`."""
    listed = settings.get("benchmarks", [])
    return [name for name in fetched() if name == evaluation or module(name).NAME in listed]


def lacking(evaluation: str, settings: Mapping[str, Any]) -> bool:
    """Whether the data of an evaluation's benchmark could not be had, so that its result only says so."""
    return any(_files.unavailable(_files.KEPT / f"{name}.json") for name in needed(evaluation, settings))


def load(benchmark: str, **options: Any) -> tuple[Problem, ...]:
    """The problems of a benchmark in the order of its data; options as the benchmark's own `load`.

    Raises:
        Unavailable: its data are not here; says how to get them.
        UserError: unknown benchmark or option, or the data are not those that are known here.
    """
    found: tuple[Problem, ...] = module(benchmark).load(**options)
    return found

"""An experiment at a scale: its grid points and their runs. No torch here."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.config import RunConfig
from mtp.experiment.spec import Spec


@dataclasses.dataclass(frozen=True)
class Point:
    """One grid point: a row of the table, trained once per seed."""

    arm: str
    axes: dict[str, Any]
    """Axis -> value, in the paper's words (size, recipe, vocabulary, n_future, ...); without the seed."""
    published: dict[str, Any]
    """Columns that select this point's rows in the paper's CSV."""
    runs: tuple[RunConfig, ...]
    """One per seed, a single one where points are measured; empty when the point is not run."""
    skipped: str = ""
    """Why it is not run at this scale."""
    starts: tuple[RunConfig, ...] = ()
    """The runs that `runs` start from, one for each of them; empty when they start from random weights."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A YAML resolved at a scale."""

    name: str
    path: Path
    spec: Spec
    scale: str
    evals: tuple[str, ...]
    points: tuple[Point, ...]

    @functools.cached_property
    def configurations(self) -> dict[str, RunConfig]:
        """Name -> configuration of all points that are run, each once."""
        return {run.name(): run for point in self.points for run in point.runs}

    @functools.cached_property
    def runs(self) -> dict[str, RunConfig]:
        """The configurations that are trained: none where the points are measured."""
        return {} if self.spec.measure else self.configurations

    @functools.cached_property
    def starts(self) -> dict[str, RunConfig]:
        """Name -> configuration of the runs that others start from, each once."""
        return {run.name(): run for point in self.points for run in point.starts}

    @property
    def axes(self) -> list[str]:
        """Axes of the table, in order."""
        if self.spec.rows:
            return self.spec.rows
        seen: dict[str, None] = {"arm": None} if self.spec.arms else {}
        for grid in (self.spec.grid, *(arm.grid for arm in self.spec.arms.values())):
            seen.update(dict.fromkeys(key for key in grid if key != "seed"))
        return list(seen)


def all_runs(experiments: Mapping[str, Experiment]) -> dict[str, RunConfig]:
    """Every run of every experiment and those that they start from, each once."""
    return {name: run for e in experiments.values() for name, run in (e.starts | e.runs).items()}


def evals_of_runs(experiments: Mapping[str, Experiment]) -> dict[str, set[str]]:
    """Run -> the evaluations that some experiment asks of it."""
    wanted: dict[str, set[str]] = {}
    for experiment in experiments.values():
        for run in experiment.runs:
            wanted.setdefault(run, set()).update(experiment.evals)
    return wanted

"""A scale: what the words of the paper stand for. One file in `experiments/scales/`; no torch here."""

# ruff: noqa: RUF012
# (pydantic copies the defaults of its models)

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt

from mtp.experiment.reading import EXPERIMENTS, Strict, read_yaml, validate
from mtp.experiment.spec import Restriction

RUNGS = {"size": "sizes", "recipe": "recipes", "vocabulary": "vocabularies", "corpus": "corpora"}
"""Grid keys that are words of the paper ("6.7B", "200B tokens") -> the table of a scale that says what each stands
for."""


class Scale(Strict):
    """What "small" means: one file in `experiments/scales/`."""

    scale: str
    about: str
    seeds: list[int]
    corpora: dict[str, str]
    """Corpus named by experiments -> file in `experiments/corpora/`."""
    vocabularies: dict[str, str]
    sizes: dict[str, dict[str, Any]]
    recipes: dict[str, dict[str, Any]]
    defaults: dict[str, Any] = {}
    evals: dict[str, dict[str, Any]]
    measures: dict[str, dict[str, Any]] = {}
    gpus_per_run: int = 0
    nodes_per_run: PositiveInt = 1
    """Machines of a Slurm cluster that the GPUs of a run stand in, as many in each."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How the GPUs of a run share it, if it has several: `mtp/parallel/`."""
    side_by_side: dict[int, int] = {}
    """Weights of a run, at most -> how many such runs share one GPU; larger ones have it to themselves."""
    like: str = ""
    """A scale whose `at` holds here too, in experiments that have none for this one."""
    leave_out: list[str] = []
    """Experiments that are not run, to save time."""
    kept: dict[str, Restriction] = {}
    """What is kept of other experiments; it stands above their own `at`."""
    checkpoint_seconds: int = 60
    flops_per_second: float
    """Training FLOPs over job seconds of everything, evaluations included: for the estimate printed at the start."""

    def at(self, restrictions: Mapping[str, Restriction]) -> Restriction:
        """What an `at` says of this scale."""
        return restrictions.get(self.scale) or restrictions.get(self.like) or Restriction()

    def of(self, experiment: str, restrictions: Mapping[str, Restriction]) -> Restriction:
        """What is kept of an experiment."""
        if experiment in self.leave_out:
            hint = f"; {self.like} has it" if self.like else ""
            return Restriction(skip=f"left out of the {self.scale} scale{hint}")
        kept = self.kept.get(experiment, Restriction())
        return self.at(restrictions).model_copy(update=kept.model_dump(exclude_unset=True))


def load_scale(source: str | Mapping[str, Any], root: Path = EXPERIMENTS) -> Scale:
    """A scale by name, or from a mapping (Snakemake's `config`).

    Raises:
        UserError: naming file and key.
    """
    if isinstance(source, str):
        path = root / "scales" / f"{source}.yaml"
        values = read_yaml(path)
    else:
        path = root / "scales" / f"{source.get('scale', '?')}.yaml"
        values = dict(source)
    return validate(Scale, values, path)


def known_rungs(kind: str, scale: Scale, root: Path) -> dict[str, Any]:
    """Every rung that some scale knows: what this scale lacks is "not run", what no scale knows is a typo."""
    table = RUNGS[kind]
    known = dict.fromkeys(getattr(scale, table))
    for path in sorted((root / "scales").glob("*.yaml")):
        known.update(dict.fromkeys(_scale_table(path, table)))
    return known


@functools.cache
def _scale_table(path: Path, table: str) -> tuple[str, ...]:
    return tuple((read_yaml(path) or {}).get(table, {}))

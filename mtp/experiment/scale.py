"""A scale: what the words of the paper stand for. One file in `experiments/scales/`; no torch here."""

# ruff: noqa: RUF012
# (pydantic copies the defaults of its models)

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mtp.experiment.reading import EXPERIMENTS, Strict, read_yaml, validate

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
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How the GPUs of a run share it, if it has several: `mtp/parallel/`."""
    checkpoint_seconds: int = 60
    flops_per_second: float
    """Training FLOPs over job seconds of everything, evaluations included: for the estimate printed at the start."""


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

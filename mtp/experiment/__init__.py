"""Experiments: YAML and scale in, runs out. No torch here; Snakemake reads this at parse time.

A YAML file is an experiment; a grid point of it is trained once per seed; a run is named by its
configuration (`mtp.config`), so experiments share runs. An experiment with `measure` trains nothing: its grid
points are configurations whose step is timed or weighed. With `start` its runs begin with the weights of other runs,
whose model they inherit.

`spec.py` and `scale.py` hold the keys of the two kinds of YAML, `reading.py` and `checking.py` refuse what is wrong
with a file, `resolving.py` makes grid points and runs of them (`points.py`), `choosing.py` sets points against each
other, `asking.py` refuses what they cannot answer, `telling.py` says how much all that is.
"""

from mtp.experiment.points import Experiment, Point, all_runs, evals_of_runs
from mtp.experiment.reading import EXPERIMENTS, read_yaml
from mtp.experiment.resolving import computed, load_all, resolve
from mtp.experiment.scale import RUNGS, Scale, load_scale
from mtp.experiment.spec import HERE, PER_PROBLEM, START, Claim, Figure, Metric, Published, Spec
from mtp.experiment.telling import summary

__all__ = [
    "EXPERIMENTS",
    "HERE",
    "PER_PROBLEM",
    "RUNGS",
    "START",
    "Claim",
    "Experiment",
    "Figure",
    "Metric",
    "Point",
    "Published",
    "Scale",
    "Spec",
    "all_runs",
    "computed",
    "evals_of_runs",
    "load_all",
    "load_scale",
    "read_yaml",
    "resolve",
    "summary",
]

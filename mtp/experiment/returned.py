"""A scale that another machine has computed: what came back from it is the scale, all else is not run here."""

import dataclasses
from pathlib import Path

from mtp import elsewhere, problems
from mtp.experiment.points import Experiment, Point
from mtp.experiment.scale import Scale

NOT_BACK = "not among the results that came back from the other machine"


def is_elsewhere(results: Path) -> bool:
    """Whether results of another machine lie in results/<scale>."""
    return (results / elsewhere.FOLDER).is_dir()


def returned(experiment: Experiment, scale: Scale, results: Path) -> Experiment:
    """An experiment with those of its runs that came back with all evaluations that it asks for.

    An evaluation of a benchmark that could not be had is not missed: its result only says so.
    """
    there = results / elsewhere.FOLDER
    asked = [name for name in experiment.evals if not problems.lacking(name, scale.evals.get(name, {}))]

    def back(run: str) -> bool:
        folder = there / "runs" / run
        return all(elsewhere.read(folder, job) for job in ("train", *asked))

    def of(point: Point) -> Point:
        kept = [
            i
            for i, run in enumerate(point.runs)
            if back(run.name()) and (not point.starts or elsewhere.read(there / "runs" / run.init_from, "train"))
        ]
        runs, starts = (tuple(each[i] for i in kept) for each in (point.runs, point.starts or point.runs))
        skipped = point.skipped or ("" if runs else NOT_BACK)
        return dataclasses.replace(point, runs=runs, starts=starts if point.starts else (), skipped=skipped)

    if experiment.spec.measure:
        if elsewhere.read(there / "measurements", experiment.name):
            return experiment
        points = [dataclasses.replace(p, runs=(), skipped=p.skipped or NOT_BACK) for p in experiment.points]
    else:
        points = [of(point) for point in experiment.points]
    return dataclasses.replace(experiment, points=tuple(points))

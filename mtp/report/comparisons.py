"""Models against each other on the same problems: mean difference, interval, p-value. No torch here.

    python -m mtp.report.comparisons table1 --scale cpu      # results/cpu/table1.comparisons.csv

Every value of an axis is set against the baseline's. A problem's value is the mean over the seeds that both sides have;
the interval is a bootstrap over problems at 95 %, p comes from flipping signs, and Holm's correction is taken over all
rows of a metric. This answers how these trained models would differ on other problems of the kind.
How much another training seed would change is not in it: the intervals of table and claims say that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtp.atomic import write_text
from mtp.errors import UserError
from mtp.experiment import Experiment, Point
from mtp.experiment.choosing import chosen, paired
from mtp.report import cli
from mtp.report.per_problem import values
from mtp.report.results import MEASURED, NOT_RUN, NOT_TESTABLE, Results
from mtp.report.tidy import number, read, to_csv
from mtp.report.words import axis_title, grouped, value_title
from mtp.statistics import compare, holm

NUMBERS = ("difference", "ci_low", "ci_high", "p", "p_holm", "n_problems", "n_seeds")


def row(experiment: Experiment, point: Point) -> tuple[str, ...]:
    """What tells a point of the table from the others."""
    return tuple(str(point.axes.get(axis, "")) for axis in experiment.axes)


def pairs(experiment: Experiment, index: int) -> list[tuple[Point, Point]]:
    """A point and its baseline, for every other value of the axis, in the order of the table.

    Raises:
        UserError: no such axis or value; names YAML and key.
    """
    asked, key = experiment.spec.comparisons[index], f"comparisons.{index}"
    than = {**asked.where, asked.axis: asked.baseline}
    bases = [row(experiment, point) for point in chosen(experiment, than, f"{key}.baseline")]
    others = [point for point in chosen(experiment, asked.where, f"{key}.where") if row(experiment, point) not in bases]
    found: dict[tuple[str, ...], tuple[Point, Point]] = {}
    for value in dict.fromkeys(str(point.axes[asked.axis]) for point in others if asked.axis in point.axes):
        told = paired(experiment, {**asked.where, asked.axis: value}, than, (f"{key}.where", f"{key}.where"))
        found |= {row(experiment, pair[0]): pair for pair in told}
    return [found[row(experiment, point)] for point in others if row(experiment, point) in found]


def over_seeds(experiment: Experiment, results: Results, key: str, runs: Sequence[str]) -> dict[str, float]:
    """Problem -> mean of a metric over runs.

    Raises:
        UserError: a run says nothing per problem, or two have other problems.
    """
    each = []
    for run in runs:
        found = results.entry(experiment, run, key)
        assert found is not None, "only runs that have a value are compared"
        name, entry = found
        path = results.runs / run / f"{name}.json"
        each.append(values(path, results.record(run, path.name), entry))
        if each[-1].keys() != each[0].keys():
            raise UserError(f"{path}: per_problem: other problems than those of run {runs[0]}")
    return {problem: float(np.mean([told[problem] for told in each])) for problem in each[0]}


def judge(experiment: Experiment, results: Results, index: int, point: Point, base: Point) -> dict[str, str]:
    """One row of the comparisons' table, before Holm's correction; all values as text."""
    asked = experiment.spec.comparisons[index]
    metric = experiment.spec.metrics[asked.metric]
    line = {"metric": asked.metric, "title": metric.title}
    line |= dict(zip(experiment.axes, row(experiment, point), strict=True))
    line |= {"against": value_title(asked.axis, asked.baseline), **dict.fromkeys(NUMBERS, "")}
    line |= {"status": NOT_TESTABLE, "reason": "", "runs": ""}
    sides = [results.measure(experiment, side, asked.metric) for side in (point, base)]
    for side in sides:
        if side.status != MEASURED:
            told = NOT_RUN if side.status == NOT_RUN else NOT_TESTABLE
            return line | {"reason": side.reason or side.status, "status": told}
    by_seed = [{sample.seed: sample for sample in side.samples} for side in sides]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    if not seeds:
        return line | {"reason": "the two sides share no seed"}
    runs = [[side[seed].run for seed in seeds] for side in by_seed]
    line |= {"n_seeds": str(len(seeds)), "runs": " ".join(runs[0] + runs[1])}
    first, second = (over_seeds(experiment, results, asked.metric, side) for side in runs)
    if first.keys() != second.keys():
        raise UserError(f"{results.runs}: {runs[0][0]} and {runs[1][0]} were evaluated on different problems")
    line["n_problems"] = str(len(first))
    if not any(first.values()) and not any(second.values()):
        return line | {"reason": "every value is 0 at this scale"}
    found = compare(np.array(list(first.values())), np.array([second[problem] for problem in first]))
    line |= {"difference": number(found.difference), "ci_low": number(found.low), "ci_high": number(found.high)}
    return line | {"p": number(found.p), "status": "compared"}


def compare_all(experiment: Experiment, results: Results) -> pd.DataFrame:
    """Every comparison of an experiment, in the order of its YAML."""
    asked = experiment.spec.comparisons
    lines = [judge(experiment, results, i, *pair) for i in range(len(asked)) for pair in pairs(experiment, i)]
    for metric in {comparison.metric for comparison in asked}:
        family = [line for line in lines if line["metric"] == metric and line["p"]]
        for line, p in zip(family, holm([float(line["p"]) for line in family]), strict=True):
            line["p_holm"] = number(p)
    return pd.DataFrame(lines)


def path_of(place: cli.Place, experiment: Experiment) -> Path:
    return place.tables / f"{experiment.name}.comparisons.csv"


def stored(place: cli.Place, experiment: Experiment) -> dict[str, Any] | None:
    """The table as people read it, from the CSV; None where the experiment compares nothing.

    Raises:
        UserError: it should, and there is no CSV.
    """
    if not experiment.spec.comparisons:
        return None
    path = path_of(place, experiment)
    if not path.exists():
        raise UserError(f"{path}: missing; run mtp.report.comparisons first (snakemake does)")
    return shown(experiment, read(path))


def p_value(text: str) -> str:
    """0.00012 -> "<0.001"."""
    return "" if not text else "<0.001" if float(text) < 0.001 else f"{float(text):.3f}"


def shown(experiment: Experiment, frame: pd.DataFrame) -> dict[str, Any]:
    """The rows with numbers as people read them, in the digits of the metric; without points that are not run."""
    lines: list[dict[str, Any]] = []
    for row in frame[frame["status"] != NOT_RUN].to_dict("records"):
        metric = experiment.spec.metrics[row["metric"]]

        def text(value: str, digits: int = metric.digits) -> str:
            return f"{float(value):+.{digits}f}".replace("-", "\N{MINUS SIGN}") if value else ""

        lines.append(
            {str(key): str(value) for key, value in row.items()}
            | {
                "first": not lines or lines[-1]["metric"] != row["metric"],
                "better": metric.better,
                "heads": [row[axis] for axis in experiment.axes],
                "ours": text(row["difference"]),
                "interval": f"[{text(row['ci_low'])}, {text(row['ci_high'])}]" if row["ci_low"] else "",
                "p": p_value(row["p"]),
                "p_holm": p_value(row["p_holm"]),
                "significant": bool(row["p_holm"]) and float(row["p_holm"]) < 0.05,
            }
        )
    return {
        "axes": [axis_title(axis) for axis in experiment.axes],
        "lines": lines,
        "problems": " or ".join(dict.fromkeys(line["n_problems"] for line in lines if line["n_problems"])),
        "reasons": grouped(line["reason"] for line in lines if line["reason"]),
        "left_out": grouped(frame[frame["status"] == NOT_RUN]["reason"]),
    }


def work(place: cli.Place) -> None:
    experiment = place.experiment
    if not experiment.spec.comparisons:
        raise UserError(f"{experiment.path}: comparisons: none is stated (keys in experiments/README.md)")
    write_text(path_of(place, experiment), to_csv(compare_all(experiment, place.measured())))


def main(argv: Sequence[str] | None = None) -> None:
    cli.run(work, "mtp.report.comparisons", __doc__, argv, wants=("experiment",))


if __name__ == "__main__":
    main()

"""What the runs of a scale measured, read once per file and asked by point and metric. No torch here."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from mtp.errors import UserError
from mtp.experiment import HERE, Experiment, Metric, Point, computed
from mtp.experiment.choosing import selects

MEASURED = "measured"
COMPUTED = "computed"
NOT_RUN = "not run at this scale"
NOT_EVALUATED = "not evaluated"
UNAVAILABLE = "unavailable"
NOT_TESTABLE = "not testable at this scale"
LEVEL = 0.95
NOT_LABELS = {"metric", "value", "reason", "ci_low", "ci_high", "problems", "samples", "tokens"}
"""Keys of a reported number that do not tell it from the others."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One number of one run."""

    seed: int
    run: str
    value: float
    low: float | None = None
    high: float | None = None
    """The evaluation's or measure's own interval, for example over problems or over rounds."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval; no interval (None) where there is nothing to base it on."""

    mean: float
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is known of one metric at one point: samples, or the reason why there are none."""

    status: str
    reason: str = ""
    samples: tuple[Sample, ...] = ()

    @property
    def interval(self) -> Interval:
        """Over seeds; where all agree (or there is one), the evaluation's own interval if given.

        Samples that all fail say little about the rate, but over seeds they give an interval of width 0.
        """
        over_seeds = t_interval([s.value for s in self.samples])
        lows = [s.low for s in self.samples if s.low is not None]
        highs = [s.high for s in self.samples if s.high is not None]
        if len({s.value for s in self.samples}) == 1 and len(lows) == len(highs) == len(self.samples):
            return Interval(over_seeds.mean, math.fsum(lows) / len(lows), math.fsum(highs) / len(highs))
        return over_seeds


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and Student's t interval; without an interval below two values."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Interval(mean, None, None)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error
    return Interval(mean, mean - half, mean + half)


class Results:
    """The results folder of one scale; every file is read once."""

    def __init__(self, root: Path, scale: str) -> None:
        self.root, self.scale = root, scale
        self.runs, self.measurements = root / scale / "runs", root / scale / "measurements"
        self._json = functools.cache(_read_json)
        self._csv = functools.cache(_read_csv)

    def _path(self, run: str, file: str) -> Path:
        path = self.runs / run / file
        if not path.exists():
            raise UserError(f"{path}: missing; run {run} has not finished (snakemake makes it)")
        return path

    def record(self, run: str, file: str) -> dict[str, Any]:
        """A JSON file of a run, such as `config.json` or `likelihood.json`.

        Raises:
            UserError: naming run and file.
        """
        return self._json(self._path(run, file))

    def series(self, run: str, file: str) -> pd.DataFrame:
        """A CSV file of a run: `metrics.csv` or `validation.csv`.

        Raises:
            UserError: naming run and file.
        """
        return self._csv(self._path(run, file))

    def baselines(self, corpus: str) -> dict[str, Any]:
        """Bits per byte of gzip, xz and n-gram models on a corpus.

        Raises:
            UserError: naming the file.
        """
        path = self.root / "data" / corpus / "baselines.json"
        if not path.exists():
            raise UserError(f"{path}: missing; the data of {corpus} are not prepared (snakemake makes them)")
        return self._json(path)

    def measurement(self, experiment: Experiment) -> dict[str, Any]:
        """What an experiment with `measure` measured, all its configurations in one record.

        Raises:
            UserError: naming the file.
        """
        path = self.measurements / f"{experiment.name}.json"
        if not path.exists():
            raise UserError(f"{path}: missing; {experiment.name} has not been measured (snakemake does)")
        return self._json(path)

    def reports(self, experiment: Experiment, run: str) -> dict[str, dict[str, Any]]:
        """What reports numbers of a run: evaluation or measure -> its record (status, reason, metrics).

        Raises:
            UserError: a result file is missing.
        """
        if not experiment.spec.measure:
            return {name: self.record(run, f"{name}.json") for name in experiment.evals}
        record = self.measurement(experiment)
        own = record["runs"].get(run, {})
        return {experiment.spec.measure: {"status": record["status"], "reason": record["reason"]} | own}

    def entry(self, experiment: Experiment, run: str, key: str, **labels: Any) -> tuple[str, dict[str, Any]] | None:
        """What reports a metric of a run, and the number with its labels; None where nothing does.

        Raises:
            UserError: a result file is missing, or the labels of the metric fit several numbers.
        """
        metric = experiment.spec.metrics[key]
        where = {**metric.where, **labels}
        found = [
            (name, entry)
            for name, record in self.reports(experiment, run).items()
            for entry in record.get("metrics", [])
            if entry["metric"] == metric.metric and selects(where, entry)
        ]
        if len(found) > 1:
            self._ambiguous(experiment, key, where, found)
        return found[0] if found else None

    def measure(self, experiment: Experiment, point: Point, key: str, **labels: Any) -> Measured:
        """One metric at one point; `labels` replace labels of the metric (for example `head=2`).

        Raises:
            UserError: a result file is missing, or the labels of the metric fit several numbers.
        """
        metric = experiment.spec.metrics[key]
        if metric.computed_at:
            value = computed(experiment, point, key)
            if isinstance(value, str):
                return Measured(NOT_RUN, value)
            scale = self.scale if metric.computed_at == HERE else metric.computed_at
            return Measured(COMPUTED, f"arithmetic at the {scale} scale", (Sample(0, "", value),))
        if not point.runs:
            return Measured(NOT_RUN, point.skipped)
        where = {**metric.where, **labels}
        samples: list[Sample] = []
        unavailable: list[str] = []
        for config in point.runs:
            run = config.name()
            reports = self.reports(experiment, run)
            if found := self.entry(experiment, run, key, **labels):
                name, entry = found
                if entry.get("value") is None:
                    unavailable.append(entry.get("reason") or reports[name].get("reason", ""))
                else:
                    ends = [None if entry.get(k) is None else float(entry[k]) for k in ("ci_low", "ci_high")]
                    samples.append(Sample(config.seed, run, float(entry["value"]), ends[0], ends[1]))
            for name, record in reports.items() if not found else ():
                if record.get("status") == UNAVAILABLE and _reports(name, metric):
                    unavailable.append(record.get("reason", ""))
        if samples:
            return Measured(MEASURED, "", tuple(samples))
        if unavailable:
            return Measured(UNAVAILABLE, unavailable[0])
        left_out = [e for e in experiment.spec.evals if e not in experiment.evals and _reports(e, metric)]
        if left_out:
            return Measured(NOT_RUN, f"the evaluation {' or '.join(left_out)} is not run at the {self.scale} scale")
        return Measured(NOT_EVALUATED, self._why_not(experiment, point.runs[0].name(), metric.metric, where))

    def _why_not(self, experiment: Experiment, run: str, name: str, where: Mapping[str, Any]) -> str:
        """The label to blame, if an evaluation reports the metric with other values of it."""
        reports = self.reports(experiment, run)
        for evaluation, record in reports.items():
            entries = [e for e in record.get("metrics", []) if e["metric"] == name]
            for label in where:
                others = {k: v for k, v in where.items() if k != label}
                values = dict.fromkeys(str(e[label]) for e in entries if label in e and selects(others, e))
                if values and label != "benchmark":
                    return f"{evaluation} reports it only for {label} {', '.join(values)}"
        evals = list(reports)
        if len(evals) < 2:
            return f"{evals[0]} reports no {name} here" if evals else "no evaluation is asked for"
        return f"neither {', '.join(evals[:-1])} nor {evals[-1]} reports it"

    def _ambiguous(self, experiment: Experiment, key: str, where: Mapping[str, Any], found: list[Any]) -> None:
        """Say which labels would tell the numbers apart."""
        entries = [entry for _, entry in found]
        labels = dict.fromkeys(k for entry in entries for k in entry if k not in NOT_LABELS and k not in where)
        apart = {k: list(dict.fromkeys(str(e.get(k, "")) for e in entries)) for k in labels}
        told = "; ".join(f"{k}: {', '.join(v)}" for k, v in apart.items() if len(v) > 1)
        raise UserError(
            f"{experiment.path}: metrics.{key}.where: fits {len(found)} numbers of {found[0][0]};"
            f" add a label ({told or 'they carry the same labels'})"
        )


def _reports(evaluation: str, metric: Metric) -> bool:
    """Whether an evaluation could report a metric: a benchmark's come from the one named after it."""
    benchmark = "".join(c for c in str(metric.where.get("benchmark", "")).lower() if c.isalnum())
    return not benchmark or benchmark.startswith(evaluation.replace("_", ""))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError):
        frame = pd.DataFrame()
    if frame.empty:
        raise UserError(f"{path}: holds no rows; delete it and run again")
    return frame

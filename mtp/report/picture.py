"""What a kind of figure is given: YAML, points, our numbers and the paper's. No torch here."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment import Experiment, Figure, Metric, Point
from mtp.experiment.choosing import points_of, selects
from mtp.report import published
from mtp.report.results import MEASURED, Measured, Results
from mtp.report.words import axis_title


@dataclasses.dataclass(frozen=True)
class Picture:
    """One entry of `figures:` with everything needed to draw it."""

    experiment: Experiment
    index: int
    results: Results

    @property
    def figure(self) -> Figure:
        return self.experiment.spec.figures[self.index]

    @property
    def points(self) -> tuple[Point, ...]:
        return points_of(self.experiment)

    @property
    def title(self) -> str:
        title = self.figure.title or self.figure.caption or self.experiment.spec.title
        return f"{self.experiment.spec.label}: {title}"

    @property
    def scale(self) -> str:
        return self.results.scale

    def error(self, key: str, message: str) -> UserError:
        return UserError(f"{self.experiment.path}: figures.{self.index}.{key}: {message}")

    def metric(self, key: str) -> Metric:
        return self.experiment.spec.metrics[key]

    def need(self, key: str) -> str:
        """The axis that the YAML gives as `x`, `hue` or `panels`.

        Raises:
            UserError: missing, or no such axis.
        """
        axis = getattr(self.figure, key)
        if axis is None:
            raise self.error(key, f"missing; a figure of kind {self.figure.kind} needs an axis")
        self.values(axis, key)
        return str(axis)

    def values(self, axis: str, key: str) -> list[Any]:
        """Values of an axis over all points, in the order of the YAML.

        Raises:
            UserError: no such axis.
        """
        known = dict.fromkeys(a for p in self.points for a in p.axes)
        if axis not in known:
            raise self.error(key, f"no axis {axis!r}{nearest(axis, known)}")
        return list(dict.fromkeys(p.axes[axis] for p in self.points if axis in p.axes))

    def split(self) -> dict[Any, list[Point]]:
        """Points by the axis `panels`; a single panel without one."""
        axis = self.figure.panels
        if axis is None:
            return {"": list(self.points)}
        return {v: [p for p in self.points if p.axes.get(axis) == v] for v in self.values(axis, "panels")}

    def measured(self, point: Point, key: str, **labels: Any) -> Measured:
        return self.results.measure(self.experiment, point, key, **labels)

    def along(self, point: Point, key: str, x: str, *others: str) -> list[tuple[float, dict[str, Any]]]:
        """What the runs of a point report of a metric at every number of the label `x`: the number, and the entry.

        Of the metric's `where` the labels `x` and `others` are left open. Entries that lack one of them are left out,
        and those where `x` is a word such as "last" or "oracle", which is no place on an axis.
        """
        metric = self.metric(key)
        where = {label: value for label, value in metric.where.items() if label not in (x, *others)}
        return [
            (float(entry[x]), entry)
            for run in point.runs
            for record in self.results.reports(self.experiment, run.name()).values()
            for entry in record.get("metrics", [])
            if entry["metric"] == metric.metric
            and selects(where, entry)
            and entry.get("value") is not None
            and isinstance(entry.get(x), int | float)
            and all(label in entry for label in others)
        ]

    def published(self, point: Point, key: str) -> float | None:
        return published.value(self.experiment, point, key)

    def has_ours(self, key: str) -> bool:
        """Whether any point has this metric measured."""
        return any(self.measured(p, key).status == MEASURED for p in self.points)

    def has_published(self, key: str) -> bool:
        return any(self.published(p, key) is not None for p in self.points)

    def metrics_with_published(self) -> list[str]:
        """The figure's metrics that the paper reports; if none of them, those of the table that it does."""
        own = [key for key in self.figure.metrics if self.has_published(key)]
        return own or [key for key in self.experiment.spec.metrics if self.has_published(key)]

    def seeds(self) -> str:
        """How many seeds a point's numbers are of, as text; where none is measured yet, how many it has."""
        keys = self.figure.metrics
        known = [found for p in self.points for key in keys if (found := self.measured(p, key)).status == MEASURED]
        counts = sorted({len(found.samples) for found in known})
        counts = counts or sorted({len(p.runs) for p in self.points if p.runs})
        return " to ".join(str(c) for c in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"

    def basis(self) -> str:
        """What our numbers and their 95 % intervals are made of, for a note."""
        if self.experiment.spec.measure:
            return "one measurement, the median and"
        return "one seed and" if self.seeds() == "1" else f"mean over {self.seeds()} seeds and"

    def not_run(self) -> list[str]:
        """A sentence about what is not run at this scale and why; none where everything is."""
        with_arm = "arm" in self.experiment.axes
        trivial: dict[tuple[str, str], list[str]] = {}
        others: dict[str, list[str]] = {}
        for point in self.points:
            if point.runs:
                continue
            arm = point.arm if with_arm else ""
            match = re.fullmatch(r"([\w.]+) (.+) is not run at the \S+ scale", point.skipped)
            if match:
                trivial.setdefault((arm, match[1]), []).append(match[2])
            else:
                others.setdefault(point.skipped, []).append(arm)
        told = []
        for (arm, axis), values in trivial.items():
            prefix = f"{arm} with " if arm else ""
            name = "n =" if axis == "n_future" else axis_title(axis)
            told.append(f"{prefix}{name} {', '.join(dict.fromkeys(values))}")
        for reason, arms in others.items():
            named = "; ".join(dict.fromkeys(arms))
            told.append(f"{named} ({reason})" if named else reason)
        return [f"Not run at the {self.scale} scale: {'; '.join(told)}."] if told else []

    def without(self, keys: Iterable[str]) -> list[str]:
        """Sentences about metrics of which we have no number although there are runs."""
        told = []
        for key in keys:
            ran = [self.measured(p, key) for p in self.points if p.runs]
            if ran and all(m.status != MEASURED for m in ran):
                told.append(f"{self.metric(key).title}: {ran[0].reason or ran[0].status}.")
        return told

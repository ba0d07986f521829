"""The page of one run: what it is, what makes it again, what it measured, its logs and where it comes from. No torch.

A configuration that is only measured (`measure` of an experiment: a step is timed or weighed, nothing is trained) has
such a page too, so that every number of a table leads to one.
"""

import dataclasses
import functools
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp import launch
from mtp.config import RunConfig
from mtp.experiment import HERE, Experiment, Point, all_runs, evals_of_runs
from mtp.experiment.choosing import points_of
from mtp.report import cli
from mtp.report.links import Link, relative, snakemake
from mtp.report.results import Results
from mtp.report.tables import in_words
from mtp.units import amount

LOG_LINES = 6
"""Last lines of a log that are shown on the page itself."""
AGAIN = "results/again"
"""Where commands to be typed by hand write, so that they overwrite nothing."""


@dataclasses.dataclass(frozen=True)
class Use:
    """A row of an experiment's table that rests on a run."""

    experiment: Experiment
    point: Point

    @property
    def row(self) -> str:
        """The row in words."""
        axes = self.experiment.axes
        return in_words(axes, [str(self.point.axes.get(axis, "")) for axis in axes])


class Runs:
    """All runs and measured configurations of a scale, and the pages that show them."""

    def __init__(self, place: cli.Place, results: Results) -> None:
        self.place, self.results = place, results
        self._facts = functools.cache(self._told)
        self.trained = all_runs(place.all)
        self.evaluated = evals_of_runs(place.all)
        measured = {n: c for e in place.all.values() if e.spec.measure for n, c in e.configurations.items()}
        self.all: dict[str, RunConfig] = self.trained | measured
        self.children: dict[str, list[str]] = {}
        for name, config in self.trained.items():
            self.children.setdefault(config.init_from, []).append(name)
        self.uses: dict[str, list[Use]] = {}
        for experiment in place.all.values():
            for point in points_of(experiment):
                for run in point.runs:
                    self.uses.setdefault(run.name(), []).append(Use(experiment, point))

    def page(self, run: str) -> Path:
        """Where a run's page lies."""
        return self.place.pictures / "runs" / f"{run}.html"

    def links(self, page: Path) -> dict[str, dict[str, str]]:
        """Run -> how `page` links to it."""
        return {
            name: {"name": name, "seed": str(config.seed), "href": relative(self.page(name), page)}
            for name, config in self.all.items()
        }

    def record(self, run: str) -> dict[str, Any]:
        """Configuration and provenance as the run left them; of a measured configuration those of its measurement.

        Raises:
            UserError: naming the file that is missing.
        """
        if run in self.trained:
            return self.results.record(run, "config.json")
        return self.results.measurement(self.uses[run][0].experiment)

    def line(self, run: str, page: Path) -> dict[str, Any]:
        """A run in a list on `page`: size, length, where it ended.

        Raises:
            UserError: naming the file that is missing.
        """
        return {"href": relative(self.page(run), page), **self._facts(run)}

    def _told(self, run: str) -> dict[str, Any]:
        config = self.all[run]
        told = {
            "name": run,
            "corpus": config.corpus,
            "vocabulary": config.vocabulary,
            "n": config.n_future,
            "seed": config.seed,
            "parameters": amount(config.parameters),
            "parameters_sort": config.parameters,
            "trained": run in self.trained,
        }
        if run not in self.trained:
            return told
        told |= {"tokens": amount(config.tokens), "tokens_sort": config.tokens}
        if config.checkpoint:  # its curves are not ours to show
            return told | {"bytes_sort": ""} | dict.fromkeys(("bytes", "loss", "held_out"), "\N{EN DASH}")
        last = self.results.series(run, "metrics.csv").iloc[-1]
        held_out = self.results.series(run, "validation.csv").iloc[-1]
        return told | {
            "bytes": amount(float(last["bytes"])),
            "bytes_sort": int(last["bytes"]),
            "loss": f"{last['loss_1']:.3f}",
            "held_out": f"{held_out['bits_per_byte_1']:.3f}",
        }

    def files(self, run: str) -> list[Path]:
        """Records and curves: what is worth opening in a browser."""
        if run in self.trained:
            folder = self.results.runs / run
            return [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".csv")]
        measured = dict.fromkeys(use.experiment.name for use in self.uses[run])
        return [self.results.measurements / f"{name}.json" for name in measured]

    def logs(self, run: str) -> list[Path]:
        """Logs of training and evaluations, or of the measure."""
        folder = self.place.tables / "logs"
        if run in self.trained:
            return sorted(folder.glob(f"train/{run}.log")) + sorted(folder.glob(f"evaluate/{run}.*.log"))
        measured = dict.fromkeys(use.experiment.name for use in self.uses[run])
        return [path for name in measured if (path := folder / "measure" / f"{name}.log").exists()]

    def commands(self, run: str) -> list[tuple[str, str]]:
        """What a command does, and the command: first the one that needs nothing, then those to be typed by hand."""
        return self._training(run) if run in self.trained else self._measuring(run)

    def _training(self, run: str) -> list[tuple[str, str]]:
        scale, config, folder = self.place.scale, self.all[run], self.results.runs
        data, out = self.results.root / "data" / config.corpus / config.vocabulary, f"{AGAIN}/{run}"
        options: dict[str, Any] = {"--config": folder / run / "config.json", "--data": data}
        if config.init_from:
            options["--start"] = folder / config.init_from
        train = launch.several(scale) or "python -m mtp.train"
        if config.checkpoint:
            train, options = "python -m mtp.released", {"--checkpoint": config.checkpoint, "--config": folder / run}
        told = [
            ("With everything it needs", snakemake(scale.scale, str(folder / run / "config.json"))),
            ("By hand, on data that are there", _command(train, options | {"--out": out})),
        ]
        for name in sorted(self.evaluated.get(run, ())):
            options = {"--run": out, "--data": data, "--eval": name, "--settings": _json(scale.evals[name])}
            text = _command("python -m mtp.evaluate", options | {"--out": f"{out}/{name}.json"})
            told.append((f"Then the evaluation {name}", text))
        return told

    def _measuring(self, run: str) -> list[tuple[str, str]]:
        told = []
        for experiment in {use.experiment.name: use.experiment for use in self.uses[run]}.values():
            name, measure, scale = experiment.name, experiment.spec.measure, self.place.scale
            options = {"--name": measure, "--experiment": name, "--configs": _json([_changed(self.all[run])])}
            options |= {"--settings": _json(scale.measures[measure]), "--out": f"{AGAIN}/{name}.json"}
            target = self.results.measurements / f"{name}.json"
            told.append((f"All of {experiment.spec.label}", snakemake(scale.scale, f"--force {target}")))
            told.append(("By hand, this configuration alone", _command("python -m mtp.measure", options)))
        return told

    def numbers(self, run: str) -> list[dict[str, Any]]:
        """What the run itself contributes to every row that rests on it: exhibit, row, and (measure, value) pairs.

        Raises:
            UserError: a result file is missing.
        """
        page, config, told = self.page(run), self.all[run], []
        for use in self.uses.get(run, ()):
            alone = dataclasses.replace(use.point, runs=(config,))
            values = [
                (metric.title, f"{sample.value:.{metric.digits}f}")
                for key, metric in use.experiment.spec.metrics.items()
                if metric.computed_at in ("", HERE)
                for sample in self.results.measure(use.experiment, alone, key).samples
            ]
            if values:
                href = relative(self.place.pictures / f"{use.experiment.name}.html", page)
                told.append({"exhibit": Link(use.experiment.spec.label, href), "row": use.row, "values": values})
        return told

    def context(self, run: str) -> dict[str, Any]:
        """What `run.html` shows.

        Raises:
            UserError: naming the file that is missing.
        """
        config, page = self.all[run], self.page(run)
        record = self.record(run)
        parent = config.init_from
        exhibits = {use.experiment.name: use.experiment for use in self.uses.get(run, ())}
        changed = _changed(config)
        return {
            "line": self.line(run, page),
            "flops": f"{config.flops:.1e}",
            "checkpoint": config.checkpoint,
            "non_embedding": amount(config.non_embedding_parameters),
            "changed": changed,
            "left": {key: value for key, value in config.to_dict().items() if key not in changed},
            "parent": Link(parent, relative(self.page(parent), page)) if parent in self.all else None,
            "children": [Link(child, relative(self.page(child), page)) for child in self.children.get(run, ())],
            "exhibits": [
                Link(f"{e.spec.label}: {e.spec.title}", relative(self.place.pictures / f"{e.name}.html", page))
                for e in exhibits.values()
            ],
            "numbers": self.numbers(run),
            "commands": self.commands(run),
            "logs": [(Link(_short(path, run), relative(path, page)), _tail(path)) for path in self.logs(run)],
            "files": [Link(_short(path, run), relative(path, page)) for path in self.files(run)],
            "origin": _origin(record),
        }


def _changed(config: RunConfig) -> dict[str, Any]:
    """Settings that differ from the defaults."""
    return {f.name: v for f in dataclasses.fields(config) if (v := getattr(config, f.name)) != f.default}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _command(program: str, options: Mapping[str, Any]) -> str:
    """A shell command, an option a line."""
    return " \\\n    ".join([program, *(f"{name} {shlex.quote(str(value))}" for name, value in options.items())])


def _short(path: Path, run: str) -> str:
    """`evaluate/<run>.mbpp.log` -> `mbpp.log`: a file's name without that of its run."""
    return path.name.replace(run, path.parent.name) if path.stem == run else path.name.removeprefix(f"{run}.")


def _tail(path: Path) -> str:
    """The end of a log, without the folder in which it happened to run."""
    lines = path.read_text(errors="replace").replace(str(Path.cwd()), ".").splitlines()
    told = [line.rstrip() for line in lines[-LOG_LINES:]]
    return "\n".join([*(["..."] if len(lines) > LOG_LINES else []), *told])


def _origin(record: Mapping[str, Any]) -> dict[str, str]:
    """Machine, versions, commit and time of a record; empty where it tells none."""
    told = record.get("provenance") or {}
    machine, device = told.get("machine", {}), str(told.get("device", "cpu"))
    parts = [machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else "", machine.get("system")]
    seconds = told.get("seconds_of_last_attempt", record.get("seconds"))
    found = {
        "Machine": ", ".join(filter(None, (*parts, device if device != "cpu" else ""))),
        "Versions": ", ".join(f"{k} {v}" for k, v in told.get("versions", {}).items() if v != "not installed"),
        "Commit": str(told.get("commit", "")),
        "Date": str(told.get("date", "")),
        "Code": str(told.get("code", "")),
        "Arithmetic": str(told.get("arithmetic", "")),
        "Computed by": ", ".join(map(str, told.get("computed_by", ()))),
        "Seconds": "" if seconds is None else f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.1f}",
    }
    return {key: value for key, value in found.items() if value}

"""The page of one exhibit: figures, claims, table, the command, the YAML and the runs behind it. No torch here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mtp.experiment import Experiment
from mtp.experiment.choosing import points_of
from mtp.report import cli, comparisons
from mtp.report.claims import HOLDS, INCONCLUSIVE, REVERSED
from mtp.report.links import Link, existing, relative, snakemake
from mtp.report.results import COMPUTED, MEASURED, NOT_EVALUATED
from mtp.report.run_page import Runs
from mtp.report.tables import wide
from mtp.report.tidy import read

FULL, PARTLY, ARITHMETIC, PAPER_ONLY, NOTHING = (
    "measured", "partly measured", "computed", "paper's numbers only", "not run",
)  # fmt: skip
"""States of an exhibit."""


def page_of(place: cli.Place, name: str) -> Path:
    return place.pictures / f"{name}.html"


def state(frame: pd.DataFrame) -> str:
    """How much of a tidy table is ours; what no evaluation reports (head 3 of two) is not missing."""
    found = set(frame["status"])
    if not found & {MEASURED, COMPUTED}:
        return PAPER_ONLY if frame["published"].any() else NOTHING
    if MEASURED not in found:
        return ARITHMETIC
    return FULL if found <= {MEASURED, COMPUTED, NOT_EVALUATED} else PARTLY


def picture(place: cli.Place, experiment: Experiment, index: int) -> dict[str, str]:
    """One figure of the page.

    Raises:
        UserError: it has not been drawn.
    """
    figure, page = experiment.spec.figures[index], page_of(place, experiment.name)
    stem = f"{experiment.name}.{figure.name}"
    svg, png = (existing(place.pictures / f"{stem}.{end}") for end in ("svg", "png"))
    titles = ", ".join(experiment.spec.metrics[key].title for key in figure.metrics)
    kind = figure.kind.replace("_", " ").capitalize()
    return {
        "svg": relative(svg, page),
        "png": relative(png, page),
        "alt": f"{kind} of {titles}. The numbers are in the table of this page.",
        "caption": figure.caption or figure.title,
    }


def files(place: cli.Place, runs: Runs, experiment: Experiment) -> list[Link]:
    """What the page rests on.

    Raises:
        UserError: naming the file that is missing.
    """
    page, spec = page_of(place, experiment.name), experiment.spec
    table = existing(place.tables / f"{experiment.name}.csv")
    told = {"numbers (CSV)": table, "table as a page": existing(table.with_suffix(".html"))}
    if spec.comparisons:
        told["comparisons (CSV)"] = existing(comparisons.path_of(place, experiment))
    told["experiment (YAML)"] = experiment.path
    if spec.measure and experiment.configurations:
        told["measurement (JSON)"] = existing(runs.results.measurements / f"{experiment.name}.json")
    if spec.published:
        told["the paper's numbers (CSV)"] = experiment.path.parent / spec.published.file
    return [Link(text, relative(path, page)) for text, path in told.items()]


def context(place: cli.Place, runs: Runs, experiment: Experiment, claims: Sequence[dict[str, str]]) -> dict[str, Any]:
    """What `exhibit.html` and the exhibit's card on `index.html` show; `claims` are its own, ready to print.

    Raises:
        UserError: naming the file that is missing.
    """
    page = page_of(place, experiment.name)
    frame = read(existing(place.tables / f"{experiment.name}.csv"))
    points = points_of(experiment)
    nothing_runs = not experiment.configurations
    spec = experiment.spec
    words = [spec.label, spec.title, spec.section, spec.note, *(metric.title for metric in spec.metrics.values())]
    words += [str(value) for point in points for value in point.axes.values()]
    words += [claim[key] for claim in claims for key in ("claim", "verdict")]
    return {
        "name": experiment.name,
        "href": page.name,
        "spec": spec,
        "ours": experiment.path.parent.name != "paper",
        "state": state(frame),
        "not_run": list(dict.fromkeys(p.skipped for p in points)) if nothing_runs else [],
        "rest": sum(1 for p in points if not p.runs),
        "points": len(points),
        "figures": [picture(place, experiment, i) for i in range(len(spec.figures))],
        "claims": list(claims),
        "verdicts": {v: sum(c["verdict"] == v for c in claims) for v in (HOLDS, REVERSED, INCONCLUSIVE)},
        "table": wide(experiment, frame),
        "comparisons": comparisons.stored(place, experiment),
        "files": files(place, runs, experiment),
        "yaml": experiment.path.read_text(),
        "command": snakemake(place.scale.scale, experiment.name),
        "runs": [runs.line(name, page) for name in experiment.configurations],
        "words": " ".join(dict.fromkeys(" ".join(words).lower().split())),
    }

"""The pages to read: an index (claims first), a page per exhibit in paper order, a page per run. No torch here.

    python -m mtp.report.gallery --scale cpu      # figures/cpu: index.html, <experiment>.html, runs/<run>.html

They show what `mtp.report.tables`, `figures` and `claims` have written, and where every number comes from. The pages
need no network and no server.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mtp.atomic import write_text
from mtp.experiment import Experiment
from mtp.experiment.choosing import points_of
from mtp.report import cli, exhibit_page
from mtp.report.claims import HOLDS, INCONCLUSIVE, REVERSED, in_paper_order, shown
from mtp.report.links import Link, existing, relative
from mtp.report.results import NOT_TESTABLE
from mtp.report.run_page import Runs
from mtp.report.templates import render
from mtp.report.tidy import read
from mtp.units import amount

MARK = '<meta name="generator" content="mtp.report.gallery">'
"""Stands in every page, so that pages of experiments that are gone can be told from files of others."""

VERDICTS = (HOLDS, REVERSED, INCONCLUSIVE, NOT_TESTABLE)


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def origin(runs: Runs, experiments: Mapping[str, Experiment]) -> dict[str, str]:
    """Machines, versions, commits and dates of all runs and measurements, each once."""
    records = [runs.record(run) for run in runs.trained]
    records += [runs.results.measurement(e) for e in experiments.values() if e.spec.measure and e.configurations]
    known = [record["provenance"] for record in records if record.get("provenance")]
    machines = [p["machine"] for p in known]
    dates = sorted({str(p["date"]) for p in known})
    devices = {str(p.get("device", "cpu")) for p in known} - {"cpu"}
    return {
        "machine": _each([f"{m['cpu']}, {m['cores']} cores, {m['system']}" for m in machines] + sorted(devices)),
        "versions": _each(f"{k} {v}" for p in known for k, v in p["versions"].items() if v != "not installed"),
        "commit": _each(str(p["commit"]) for p in known),
        "date": " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "",
    }


def pages(place: cli.Place) -> dict[Path, str]:
    """All pages and what they are drawn with, by path.

    Raises:
        UserError: naming the file that is missing.
    """
    index = place.pictures / "index.html"
    runs = Runs(place, place.measured())
    frame = read(existing(place.tables / "claims.csv"))
    claims = shown(frame, place.all)
    exhibits = [
        exhibit_page.context(place, runs, e, [c for c in claims if c["experiment"] == e.name])
        for e in in_paper_order(place.all)
    ]
    points = [p for e in place.all.values() for p in points_of(e)]
    told = {
        place.pictures / "gallery.css": render("style.css") + render("gallery.css"),
        place.pictures / "gallery.js": render("gallery.js"),
    }
    links = [Link(e["spec"].label, e["href"]) for e in exhibits]
    hrefs = runs.links(index)
    for i, exhibit in enumerate(exhibits):
        told[place.pictures / exhibit["href"]] = render(
            "exhibit.html",
            root="",
            scale=place.scale,
            before=links[i - 1] if i else None,
            after=links[i + 1] if i + 1 < len(links) else None,
            runs=hrefs,
            exhibit=exhibit,
        )
    for run in runs.all:
        told[runs.page(run)] = render("run.html", root="../", scale=place.scale, **runs.context(run))
    listed = place.pictures / "runs" / "index.html"
    told[listed] = render("runs.html", root="../", scale=place.scale, runs=[runs.line(run, listed) for run in runs.all])
    told[index] = render(
        "index.html",
        root="",
        scale=place.scale,
        claims=claims,
        not_testable=NOT_TESTABLE,
        claims_csv=relative(place.tables / "claims.csv", index),
        verdicts={v: n for v in VERDICTS if (n := sum(c["verdict"] == v for c in claims))},
        exhibits=exhibits,
        runs=hrefs,
        counts={
            "experiments": len(place.all),
            "runs": len(runs.trained),
            "tokens": amount(sum(r.tokens for r in runs.trained.values())),
            "flops": f"{sum(r.flops for r in runs.trained.values()):.1e}",
            "points": len(points),
            "not_run": sum(1 for p in points if not p.runs),
        },
        origin=origin(runs, place.all),
    )
    return told


def work(place: cli.Place) -> None:
    """Write all pages, the index last, and remove those of experiments and runs that are gone."""
    told = pages(place)
    index = place.pictures / "index.html"
    shutil.rmtree(place.pictures / "runs", ignore_errors=True)
    (place.pictures / "runs").mkdir(parents=True)
    for old in place.pictures.glob("*.html"):
        if old not in told and MARK in old.read_text():
            old.unlink()
    for path, text in told.items():
        if path != index:
            path.write_text(text)
    write_text(index, told[index])


def main(argv: Sequence[str] | None = None) -> None:
    cli.run(work, "mtp.report.gallery", __doc__, argv)


if __name__ == "__main__":
    main()

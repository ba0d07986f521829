"""Benchmarks of programs: which there are, one problem, and fetching what does not come with the project.

    python -m mtp.problems list
    python -m mtp.problems show MBPP/11 --style 3-shot
    python -m mtp.problems fetch mbpp

`fetch` looks into the folder --folder, that of the environment variable MTP_BENCHMARKS and then on the hub. It leaves
the data and a small manifest in results/data/benchmarks. That nothing was found is no error: the manifest says so, and
how to mend it.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mtp.atomic import write_text
from mtp.data.storage import sha256_of
from mtp.errors import UserError
from mtp.problems import Problem, Unavailable, load, module, names
from mtp.problems._files import AVAILABLE, KEPT, UNAVAILABLE, state


def fetch(name: str, folder: str, out: Path) -> dict[str, Any]:
    """Fetch a benchmark's file and write its manifest to `out`; returns the manifest.

    It says nothing of where a file was found: equal data give an equal manifest.

    Raises:
        UserError: nothing to fetch, or what was found is not the data known here.
    """
    benchmark = module(name)
    if not hasattr(benchmark, "fetch"):
        raise UserError(f"fetch: {name} comes with a package and is not fetched")
    before = state(name, benchmark.FILE, folder)
    path = out.parent / benchmark.FILE
    told: dict[str, Any] = {"benchmark": benchmark.NAME, "source": benchmark.SOURCE, "offered": before}
    try:
        benchmark.fetch(folder, path)
        told |= {"status": AVAILABLE, "reason": "", "file": benchmark.FILE, "sha256": sha256_of(path)}
    except Unavailable as error:
        told |= {"status": UNAVAILABLE, "reason": str(error), "file": "", "sha256": ""}
    write_text(out, json.dumps(told, indent=1) + "\n")
    return told


def find(task_id: str, style: str = "") -> Problem:
    """A problem by its id, in any split.

    Raises:
        Unavailable, UserError: as `load`; no such problem.
    """
    name = task_id.split("/")[0].lower()
    benchmark = module(name)
    if style and not hasattr(benchmark, "STYLES"):
        raise UserError(f"show: --style: {name} has but one style")
    options = {"style": style} if style else {}
    for split in getattr(benchmark, "SPLITS", ("",)):
        for problem in load(name, **options, **({"split": split} if split else {})):
            if problem.task_id.lower() == task_id.lower():
                return problem
    raise UserError(f"show: {task_id!r}: no such problem (ids look like HumanEval/0 and MBPP/11)")


def show(problem: Problem) -> str:
    """All parts of a problem, each under its name."""
    parts = {
        "prompt": problem.prompt,
        "reference": problem.reference,
        "prelude": problem.prelude,
        "tests": problem.tests,
        "entry points": ", ".join(problem.entry_points),
        "stops": " ".join(map(repr, problem.stops)),
    }
    return "\n".join(f"--- {name}\n{text}" for name, text in parts.items())


def listing() -> str:
    """One line per benchmark: how many problems are here, or why none."""
    lines = []
    for name in names():
        try:
            lines.append(f"{name:<10} {len(load(name))} problems{' (test)' if hasattr(module(name), 'fetch') else ''}")
        except (Unavailable, UserError) as error:
            lines.append(f"{name:<10} unavailable: {error}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.problems", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all benchmarks, and whether they are here")
    shown = commands.add_parser("show", help="print one problem")
    shown.add_argument("task_id", help="such as HumanEval/0 or MBPP/11")
    shown.add_argument("--style", default="", help="of MBPP's prompt: zero-shot (default) or 3-shot")
    fetched = commands.add_parser("fetch", help="get the data of a benchmark")
    fetched.add_argument("benchmark", help="one of: " + ", ".join(n for n in names() if hasattr(module(n), "fetch")))
    fetched.add_argument("--folder", default="", help="where to look first")
    fetched.add_argument("--out", type=Path, help=f"manifest to write (default: {KEPT}/BENCHMARK.json)")
    args = parser.parse_args(argv)
    try:
        if args.command == "list":
            print(listing())
        elif args.command == "show":
            print(show(find(args.task_id, args.style)))
        else:
            told = fetch(args.benchmark, args.folder, args.out or KEPT / f"{args.benchmark}.json")
            print(f"{args.benchmark}: {told['status']}{': ' + told['reason'] if told['reason'] else ''}")
    except (UserError, Unavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

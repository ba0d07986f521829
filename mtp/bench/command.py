"""What the commands of the benchmarks have in common: options, a table that survives interruptions, mistakes."""

import argparse
import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mtp import provenance
from mtp.atomic import write_text
from mtp.bench.cases import Job, Row
from mtp.config import nearest
from mtp.errors import UserError
from mtp.progress import bar

COLUMNS = ("case", "baseline", "ratio_median", "ratio_min", "ratio_max", "goal")


class Table:
    """The CSV, replaced as a whole after every job; beside it a record of which job made which rows, and where."""

    def __init__(self, path: Path) -> None:
        self.path, self.record = path, path.with_suffix(".json")
        self.jobs: dict[str, dict[str, object]] = {}
        if path.exists() and self.record.exists():
            self.jobs = json.loads(self.record.read_text())["jobs"]

    def done(self, job: Job, code: str) -> bool:
        """Whether this job's rows are there, from this very code."""
        return self.jobs.get(job.name, {}).get("code") == code

    def add(self, job: Job, rows: Sequence[Row], rounds: int, code: str) -> None:
        lines = [
            [row.case, row.baseline, *(f"{x:.4g}" for x in (row.ratio.median, row.ratio.low, row.ratio.high)), row.goal]
            for row in rows
        ]
        self.jobs[job.name] = {"code": code, "rounds": rounds, "rows": lines, "provenance": provenance.describe()}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for entry in self.jobs.values():
            writer.writerows(entry["rows"])  # type: ignore[arg-type]
        write_text(self.record, json.dumps({"jobs": self.jobs}, indent=1) + "\n")
        write_text(self.path, text.getvalue())


def shown(rows: Sequence[Sequence[str]]) -> str:
    """The rows for people: ratio, spread, and whether the goal is reached."""
    wide = max((len(row[0]) for row in rows), default=0)
    by = max((len(row[1]) for row in rows), default=0)
    lines = []
    for case, baseline, median, low, high, goal in rows:
        verdict = ""
        if goal:
            sign, bound = goal.split()
            reached = float(median) >= float(bound) if sign == ">=" else float(median) <= float(bound)
            verdict = f"goal {goal:<8}{'reached' if reached else 'MISSED'}"
        lines.append(f"{case:<{wide}}  {baseline:<{by}}  {median:>7}  [{low}, {high}]".ljust(wide + by + 32) + verdict)
    return "\n".join(lines)


def chosen(words: str, known: Mapping[str, object], option: str) -> list[str]:
    """Comma-separated names, in the order in which they are known.

    Raises:
        UserError: an unknown one.
    """
    asked = [word.strip() for word in words.split(",") if word.strip()]
    for word in asked:
        if word not in known:
            raise UserError(f"{option}: unknown {word!r}{nearest(word, known)} (known: {', '.join(known)})")
    return [word for word in known if word in asked]


def run(todo: Sequence[Job], table: Table, redo: bool, code: str, name: str) -> None:
    """Run what is not done, and keep saying where it stands."""
    left = [job for job in todo if redo or not table.done(job, code)]
    if len(left) < len(todo):
        print(f"{len(todo) - len(left)} of {len(todo)} jobs are done already (--redo runs them again)")
    with bar(total=sum(job.rounds for job in left), desc=f"bench-{name}", unit="round") as progress:
        for job in left:
            progress.set_description(job.name)
            before, lines, started = progress.n, list[str](), time.perf_counter()
            rows = job.run(job.rounds, progress.update, lines.append)
            progress.update(before + job.rounds - progress.n)
            table.add(job, rows, job.rounds, code)
            progress.write(f"\n{job.name} ({time.perf_counter() - started:.0f} s)", file=sys.stdout)
            for line in lines:
                progress.write(f"  {line}", file=sys.stdout)
            sys.stdout.flush()


class Command:
    """`python -m mtp.bench.NAME` with the options that all have; `parser` takes more."""

    def __init__(
        self,
        name: str,
        about: str,
        part: str,
        parts: Mapping[str, str],
        sizes: Sequence[str],
        quick: Sequence[str],
        rounds: int,
    ) -> None:
        """
        Args:
            name: of the module and of its table, results/bench/NAME.csv.
            about: what --help says first.
            part: option that chooses what is compared, such as "cases".
            parts: what can be chosen, and what it means.
            sizes: that can be chosen, and those of `quick` among them.
            rounds: where none are given.
        """
        self.name, self.part, self.parts, self.sizes, self.quick = name, part, parts, sizes, quick
        wide = max(map(len, parts))
        self.parser = argparse.ArgumentParser(
            prog=f"python -m mtp.bench.{name}",
            description=about,
            epilog=f"{part}:\n" + "\n".join(f"  {key:<{wide}}  {text}" for key, text in parts.items()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add = self.parser.add_argument
        add("--sizes", help=f"default: all of {','.join(sizes)}")
        add(f"--{part}", default=",".join(parts), help="default: all of %(default)s")
        add("--rounds", type=int, default=rounds, help="default %(default)s")
        add("--quick", action="store_true", help=f"3 rounds, sizes {','.join(quick)} if none are given")
        add("--redo", action="store_true", help="run also what the file holds already")
        add("--out", type=Path, default=Path(f"results/bench/{name}.csv"), help="CSV to write (default %(default)s)")

    def main(self, argv: Sequence[str] | None, plan: Callable[[argparse.Namespace], tuple[str, list[Job]]]) -> None:
        """Run what `plan` makes of the arguments, sizes and parts as lists, and show the table.

        `plan` returns a fingerprint of the code and the jobs.
        """
        args = self.parser.parse_args(argv)
        try:
            args.sizes = chosen(
                args.sizes or ",".join(self.quick if args.quick else self.sizes), dict.fromkeys(self.sizes), "--sizes"
            )
            setattr(args, self.part, chosen(getattr(args, self.part), self.parts, f"--{self.part}"))
            if args.rounds < 1:
                raise UserError(f"--rounds: must be at least 1, got {args.rounds}")
            args.rounds = 3 if args.quick else args.rounds
            os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
            code, todo = plan(args)
            run(todo, Table(args.out), args.redo, code, self.name)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        with args.out.open(newline="") as file:
            rows = list(csv.reader(file))[1:]
        print(f"\nRatios over rounds: median [lowest, highest]. {args.out}\n{shown(rows)}")

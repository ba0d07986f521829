"""Verdicts for a file of samples, alone: no model, no torch.

    python -m mtp.sandbox --problems HumanEval.jsonl.gz --samples samples.jsonl --out verdicts.jsonl [--workers N]

Problems are rows in HumanEval's own format (task_id, prompt, test, entry_point), samples rows with task_id and
completion; a name that ends in .gz is read and written compressed. One row per sample comes out, in order:
task_id, verdict (passed, failed, timeout_cpu, timeout_wall, memory, crashed, protocol, infra), detail, cpu_seconds.
"""

import argparse
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

from mtp.atomic import replacing
from mtp.errors import UserError
from mtp.sandbox import SandboxUnavailable, WrongVerdict, humaneval_program, run_programs


def read_rows(path: Path, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """JSON lines with at least these text fields.

    Raises:
        UserError: naming file and line.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            lines = file.readlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}: line {number}: not JSON: {error}") from None
        for key in keys:
            if not isinstance(row, dict) or not isinstance(row.get(key), str):
                raise UserError(f"{path}: line {number}: {key}: missing or not text")
        rows.append(row)
    return rows


def verdicts(problems: Path, samples: Path, out: Path, workers: int) -> dict[str, int]:
    """Write the verdicts; returns how many there are of each kind."""
    tasks = {row["task_id"]: row for row in read_rows(problems, ("task_id", "prompt", "test", "entry_point"))}
    wanted = read_rows(samples, ("task_id", "completion"))
    for row in wanted:
        if row["task_id"] not in tasks:
            raise UserError(f"{samples}: task_id: {row['task_id']!r} is not in {problems}")
    found = run_programs([humaneval_program(tasks[row["task_id"]], row["completion"]) for row in wanted], workers)
    counts: dict[str, int] = {}
    lines = []
    for row, verdict in zip(wanted, found, strict=True):
        counts[verdict.verdict] = counts.get(verdict.verdict, 0) + 1
        record = {"task_id": row["task_id"], "verdict": verdict.verdict, "detail": verdict.detail}
        lines.append(json.dumps(record | {"cpu_seconds": verdict.cpu_seconds}) + "\n")
    data = "".join(lines).encode()
    with replacing(out) as temporary:
        temporary.write_bytes(gzip.compress(data, mtime=0) if out.suffix == ".gz" else data)
    return counts


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.sandbox", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", required=True, type=Path, help="problems, JSON lines in HumanEval's format")
    parser.add_argument("--samples", required=True, type=Path, help="samples, JSON lines with task_id and completion")
    parser.add_argument("--out", required=True, type=Path, help="where the verdicts go, JSON lines")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="sandboxes side by side (default: cores)"
    )
    args = parser.parse_args(argv)
    try:
        print(json.dumps(verdicts(args.problems, args.samples, args.out, args.workers), sort_keys=True))
    except (UserError, SandboxUnavailable, WrongVerdict) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

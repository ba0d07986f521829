"""Compare our decoding with Hugging Face `generate` on the same weights, and a speculative round with its floor.

    make bench-decode                             # everything, about ten minutes on 2 idle cores
    make bench-decode BENCH="--compiled"          # also against compiled decoders: a minute or more to compile each
    python -m mtp.bench.decode --quick            # 1M, few rounds, two minutes
    python -m mtp.bench.decode --cases round --sizes 10M --redo

All is greedy: a prompt of 64 bytes, 192 new ones. Ours and theirs have equal logits (asserted first); each is a process
with one thread that decodes the same requests in turns. A ratio is theirs over ours in CPU time, within a round of
turns: how many times faster ours is. A speculative round drafts with 4 heads and verifies in one pass; its cost over
that of a plain step is compared with the bytes of weights that each must read. Results go to results/bench/decode.csv
(case, baseline, ratio_median, ratio_min, ratio_max, goal), job by job; docs/benchmarks.md explains each row.
transformers is needed: make bench-decode installs it into .venv/bench.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from mtp import floors, provenance
from mtp.bench.cases import Job, Row
from mtp.bench.command import Command
from mtp.bench.loads import Load
from mtp.bench.race import Times, race, ratio
from mtp.bench.shapes import SHAPES, ours

CASES = {
    "row": "one row, against Hugging Face generate with its default cache and with its static one",
    "batch": "32 rows, against Hugging Face generate",
    "round": "a speculative round of 4 parallel heads over a plain step, 1, 8 and 32 rows, against the ratio of bytes",
}
SIZES = ("1M", "10M")
HEADS = 4
OURS, BASELINE, STATIC = "ours", "Hugging Face generate", "Hugging Face generate, static cache"
GPT_FAST = "gpt-fast-like"
ONE, BATCH = (Load(f"{rows} rows", rows, 192, 0.0, 1.0, rows=rows) for rows in (1, 32))
PASSES = {1: 64, 8: 32, 32: 16}
"""Rows -> passes in a turn of the `round` case."""


def sampler(
    size: str, load: Load, work: str = "hugging face", process: str = "shipped", **more: object
) -> dict[str, Any]:
    told = {"work": work, "size": size, "load": dataclasses.asdict(load), "process": process, **more}
    return {"module": "mtp.bench._sampler", **told}


def passes(size: str, rows: int, heads: int) -> dict[str, Any]:
    load = Load("", rows, PASSES[rows], 0.0, 1.0, rows=rows)
    told = {"work": "passes", "size": size, "load": dataclasses.asdict(load), "process": "ours"}
    return {"module": "mtp.bench._decoder", **told, "heads": heads, "n": HEADS}


def speeds(times: Times, load: Load, told: Callable[[str], object]) -> None:
    for label, found in times.items():
        seconds, tokens = statistics.median(found), load.requests * load.tokens
        told(f"{label}: {tokens / seconds:,.0f} tokens/s, {1e3 * seconds / load.tokens:.2f} ms a step")


def row(size: str, rounds: int) -> Job:
    """One row: what a step costs beside its products shows most."""

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {
            OURS: sampler(size, ONE, "ours", "ours"),
            BASELINE: sampler(size, ONE),
            STATIC: sampler(size, ONE, cache="static"),
        }
        times = race(field, rounds, progress, told, needed=list(field))
        speeds(times, ONE, told)
        goals = {BASELINE: ">= 1.8", STATIC: ""}
        return [Row(f"{size} one row", label, ratio(times[label], times[OURS]), goals[label]) for label in goals]

    return Job("row", size, f"row {size}", rounds, run)


def batch(size: str, rounds: int) -> Job:
    """32 rows."""

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {OURS: sampler(size, BATCH, "ours", "ours"), BASELINE: sampler(size, BATCH)}
        times = race(field, rounds, progress, told, needed=list(field))
        speeds(times, BATCH, told)
        return [Row(f"{size} {BATCH.rows} rows", BASELINE, ratio(times[BASELINE], times[OURS]), ">= 1.2")]

    return Job("batch", size, f"batch {size}", rounds, run)


def round_(size: str, rows: int, rounds: int) -> Job:
    """A round over a plain step, and the share of the bound that it leaves to the speed-up."""
    floor = floors.round_ratio(ours(SHAPES[size], n_future=HEADS), HEADS)

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {"plain step": passes(size, rows, 1), "round": passes(size, rows, HEADS)}
        times = race(field, rounds, progress, told, needed=list(field))
        for label, found in times.items():
            told(f"{label}: {1e3 * statistics.median(found) / PASSES[rows]:.2f} ms")
        bound = rows == 1 and size == "10M"  # with more rows, or less to read, reading is not what takes time
        case, floored = f"{size} round of {HEADS} heads, rows: {rows}", f"floor {floor:.2f} of a plain step"
        return [
            Row(case, "a plain step", ratio(times["round"], times["plain step"])),
            Row(case, floored, ratio(times["round"], times["plain step"], floor), "<= 1.1" if bound else ""),
            Row(
                f"{case}, share of the bound",
                floored,
                ratio(times["plain step"], times["round"], 1 / floor),
                ">= 0.85" if bound else "",
            ),
        ]

    return Job("round", size, f"round {size} {rows}", rounds, run)


def compiled(size: str, rounds: int) -> Job:
    """One row, from compiled steps, which take everybody a minute or more to make; and gpt-fast's loop without them."""

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        gpt_fast = sampler(size, ONE, "gpt-fast") | {"module": "mtp.bench._decoder"}
        eager, fast, ours_fast = sampler(size, ONE, "ours", "ours"), f"{GPT_FAST}, compiled", f"{OURS}, compiled"
        field = {
            OURS: eager,
            ours_fast: eager | {"compile": True},
            BASELINE: sampler(size, ONE),
            f"{STATIC}, compiled": sampler(size, ONE, cache="static", compile=True),
            GPT_FAST: gpt_fast | {"compile": False},
            fast: gpt_fast | {"compile": True},
        }
        times = race(field, rounds, progress, told, needed=[OURS, ours_fast])
        speeds(times, ONE, told)
        goals = {BASELINE: ">= 4.5", fast: ">= 1.4"}
        rows = [Row(f"{size} one row", GPT_FAST, ratio(times[GPT_FAST], times[OURS]))] if GPT_FAST in times else []
        return rows + [
            Row(f"{size} one row, compiled", label, ratio(times[label], times[ours_fast]), goals.get(label, ""))
            for label in times
            if label not in (ours_fast, GPT_FAST)
        ]

    return Job("compiled", size, f"compiled {size}", rounds, run)


def plan(args: argparse.Namespace) -> tuple[str, list[Job]]:
    named = ("mtp.bench._decoder", "mtp.bench.decode", "mtp.heads.parallel", "mtp.trunks.transformer")
    todo: list[Job] = []
    for size in args.sizes:
        if "row" in args.cases:
            todo.append(row(size, args.rounds))
        if "batch" in args.cases:
            todo.append(batch(size, args.rounds))
        if "round" in args.cases:
            todo += [round_(size, rows, args.rounds) for rows in PASSES]
        if args.compiled:
            todo.append(compiled(size, args.rounds))
    return provenance.fingerprint("mtp.bench._sampler", named), todo


def main(argv: Sequence[str] | None = None) -> None:
    command = Command("decode", __doc__, "cases", CASES, SIZES, ("1M",), rounds=7)
    command.parser.add_argument(
        "--compiled", action="store_true", help="also against compiled decoders, one row; needs a C++ compiler"
    )
    command.main(argv, plan)


if __name__ == "__main__":
    main()

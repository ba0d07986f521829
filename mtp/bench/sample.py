"""Compare our sampling with Hugging Face `generate` on the same weights.

    make bench-sample                             # everything, ten to thirty minutes on 2 cores
    python -m mtp.bench.sample --quick            # 1M, few rounds, two minutes
    python -m mtp.bench.sample --loads ragged --sizes 1M --redo

Our model is exported to transformers' Llama (equal logits to 1e-4 are asserted first). Both are processes with one
thread that serve the same requests in turns; a ratio is theirs over ours in CPU time for the same number of tokens,
within a round. Results go to results/bench/sample.csv (case, baseline, ratio_median, ratio_min, ratio_max, goal), job
by job; docs/benchmarks.md explains each row. transformers is needed: make bench-sample installs it into .venv/bench.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from mtp import provenance
from mtp.bench.cases import Job, Row
from mtp.bench.command import Command
from mtp.bench.loads import LOADS, lengths
from mtp.bench.race import race, ratio

SIZES = ("1M", "10M")
GOALS = {"greedy": ">= 1.0", "sampled": ">= 1.0", "ragged": ">= 2.0"}
OURS, BASELINE = "ours", "Hugging Face generate"


def sampler(work: str, size: str, load: str, process: str) -> dict[str, Any]:
    told = {"work": work, "size": size, "load": dataclasses.asdict(LOADS[load]), "process": process}
    return {"module": "mtp.bench._sampler", **told}


def job(size: str, load: str, rounds: int) -> Job:
    """One size and one load."""

    def work(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {
            OURS: sampler("ours", size, load, "ours"),
            BASELINE: sampler("hugging face", size, load, "shipped"),
        }
        times = race(field, rounds, progress, told, needed=list(field))
        tokens = sum(lengths(LOADS[load]))
        for label, found in times.items():
            seconds = statistics.median(found)
            told(f"{label}: {tokens:,} tokens in {seconds:.2f} s, {tokens / seconds:,.0f} tokens/s")
        return [Row(f"{size} {LOADS[load].about}", BASELINE, ratio(times[BASELINE], times[OURS]), GOALS[load])]

    return Job("sample", size, f"{load} {size}", rounds, work)


def plan(args: argparse.Namespace) -> tuple[str, list[Job]]:
    code = provenance.fingerprint(
        "mtp.bench._sampler", ("mtp.bench.sample", "mtp.heads.parallel", "mtp.trunks.transformer")
    )
    return code, [job(size, load, args.rounds) for size in args.sizes for load in args.loads]


def main(argv: Sequence[str] | None = None) -> None:
    about = {name: load.about for name, load in LOADS.items()}
    Command("sample", __doc__, "loads", about, SIZES, ("1M",), rounds=5).main(argv, plan)


if __name__ == "__main__":
    main()

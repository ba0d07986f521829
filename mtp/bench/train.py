"""Compare our training step with other trainers', with its floors and with the machine's peak.

    make bench-train                              # everything, 20 to 30 minutes on 2 idle cores
    python -m mtp.bench.train --quick             # 1M and 10M, few rounds, a few minutes
    python -m mtp.bench.train --cases heads --sizes 1M --redo
    python -m mtp.bench.train --rounds 9          # at 1M; larger sizes get fewer

Every competitor is a process of its own with one thread; they take steps in turns, in a new random order every round,
and every ratio is taken within a round: what else the machine does hits all alike. Times are CPU times. Results go to
results/bench/train.csv (case, baseline, ratio_median, ratio_min, ratio_max, goal), job by job: a job that is there
already is not run again, so that a run that was cut short goes on; --redo starts it afresh. docs/benchmarks.md
explains each row.

transformers and litgpt are needed for their rows only: make bench-train installs them into .venv/bench, beside the
project's own environment. A competitor that is not installed is left out and named.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence

from mtp import provenance
from mtp.bench.cases import CASES, Job, fast_precision, jobs
from mtp.bench.command import Command
from mtp.bench.shapes import SHAPES


def plan(args: argparse.Namespace) -> tuple[str, list[Job]]:
    """Fewer rounds at larger sizes."""
    if shutil.which("c++") is None and shutil.which("g++") is None:
        print("no C++ compiler: the compiled competitors will be left out", file=sys.stderr)
    named = ("mtp.bench.cases", "mtp.heads.parallel", "mtp.trunks.transformer")
    where = provenance.describe()
    print(f"{where['machine']['cpu']}, {where['machine']['cores']} cores; torch {where['versions']['torch']}")
    todo = jobs(args.cases, args.sizes, args.rounds, args.quick, fast_precision())
    return provenance.fingerprint("mtp.bench._worker", named), todo


def main(argv: Sequence[str] | None = None) -> None:
    Command("train", __doc__, "cases", CASES, tuple(SHAPES), ("1M", "10M"), rounds=9).main(argv, plan)


if __name__ == "__main__":
    main()

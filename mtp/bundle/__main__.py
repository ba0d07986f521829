"""Train and evaluate on a machine without network, Snakemake and pandas, and bring the results home.

    python -m mtp.bundle pack --scale gpu-hour fig3 table1     # here: bundle.tar.xz
    tar -xf bundle.tar.xz && python -m mtp.bundle run --minutes 55     # there, in an empty folder; again to go on
    python -m mtp.bundle accept results.tar.xz --scale gpu-hour    # here
    snakemake --configfile experiments/scales/gpu-hour.yaml        # tables and figures of what came back

docs/bundle.md tells what travels, what comes back and how the DAG takes it.
"""

import argparse
import sys
from pathlib import Path

from mtp.bundle.plan import Job, Plan, chosen, jobs_of
from mtp.errors import UserError
from mtp.provenance import PLAN

LIMIT_MIB = 60.0


def pack(args: argparse.Namespace) -> None:
    from mtp.bundle import packing

    print(packing.pack(args.scale, args.experiments, args.out, args.limit_mib))
    print(f"There, in an empty folder: tar -xf {args.out.name} && python -m mtp.bundle run --minutes 55")


def show(args: argparse.Namespace) -> None:
    from mtp.bundle import running

    plan = Plan.read(Path(PLAN))
    for job in chosen(plan.jobs, args.only):
        state = "done" if running.done(job) else "to do"
        print(f"{state:<6} {job.title}" + (f"  {job.flops:.1e} FLOPs, {job.share} % of a GPU" if job.flops else ""))


def run(args: argparse.Namespace) -> None:
    from mtp.bundle import returning, running

    plan = Plan.read(Path(PLAN))
    jobs = chosen(plan.jobs, args.only)
    runner = running.run(plan, jobs, args.minutes)
    count = returning.collect(plan.jobs, args.out, args.weights)
    size = args.out.stat().st_size / 2**20
    print(f"{count} of {len(plan.jobs)} jobs are done; {args.out}: {size:.1f} MiB")
    for title, told in runner.failed.items():
        print(f"failed: {title}: {told}")
    if not all(map(running.done, jobs)):
        print("Run the same command again to go on.")
    sys.exit(1 if runner.failed else 0)


def collect(args: argparse.Namespace) -> None:
    from mtp.bundle import returning

    plan = Plan.read(Path(PLAN))
    count = returning.collect(plan.jobs, args.out, args.weights)
    print(f"{count} of {len(plan.jobs)} jobs are done; {args.out}: {args.out.stat().st_size / 2**20:.1f} MiB")


def accept(args: argparse.Namespace) -> None:
    from mtp.bundle import packing, returning

    suite = packing.suite_of(args.scale)
    every: list[Job] = list(jobs_of(suite, packing.experiments_of(suite, [])))
    accepted, refused = returning.accept(args.archive, Path(suite.results), every)
    for title, reason in refused.items():
        print(f"refused: {title}: {reason}", file=sys.stderr)
    print(f"{len(accepted)} results accepted, {len(refused)} refused")
    print(f"Now: snakemake --configfile experiments/scales/{args.scale}.yaml")
    sys.exit(1 if refused else 0)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m mtp.bundle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = found.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: object, told: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=told, description=told)
        added.set_defaults(does=does)
        return added

    here = command("pack", pack, "write the archive that travels: code, plan, data (what is done already is left out)")
    here.add_argument("experiments", nargs="*", help="names such as fig3; the first are done first (default: all)")
    here.add_argument("--scale", required=True, help="file name in experiments/scales, such as gpu-hour")
    here.add_argument("--out", type=Path, default=Path("bundle.tar.xz"), help="default: bundle.tar.xz")
    here.add_argument(
        "--limit-mib", type=float, default=LIMIT_MIB, help=f"refuse a larger archive (default: {LIMIT_MIB:g})"
    )
    listing = command("show", show, "the jobs of an unpacked bundle, in their order")
    there = command("run", run, "do the jobs of an unpacked bundle; goes on where it stopped")
    there.add_argument(
        "--minutes", type=float, help="stop in time, checkpoints saved and results packed (default: none)"
    )
    gather = command("collect", collect, "pack the results that are there (run does it at its end)")
    for each in (listing, there):
        each.add_argument("--only", nargs="+", default=[], metavar="WORD", help="jobs whose names contain a word")
    for each in (there, gather):
        each.add_argument("--out", type=Path, default=Path("results.tar.xz"), help="default: results.tar.xz")
        each.add_argument("--weights", action="store_true", help="bring the weights home too; they are large")
    back = command("accept", accept, "take results home, if configuration, settings and code are those of here")
    back.add_argument("archive", type=Path)
    back.add_argument("--scale", required=True)
    return found


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    try:
        args.does(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""List what experiments would run: all of them in short, or one of them point by point.

    python -m mtp.experiment --scale cpu            # list what would run
    python -m mtp.experiment --scale cpu table1     # one experiment, point by point

--json prints the configuration of every run instead.
"""

import argparse
import json
import signal
import sys

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment.points import all_runs
from mtp.experiment.resolving import load_all
from mtp.experiment.scale import load_scale
from mtp.experiment.telling import summary


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mtp.experiment", description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment", nargs="?", help="name of one experiment; default: a summary of all")
    parser.add_argument("--scale", default="cpu", help="file name in experiments/scales (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print run names and configurations as JSON")
    args = parser.parse_args(argv)
    try:
        scale = load_scale(args.scale)
        experiments = load_all(scale)
        if args.experiment and args.experiment not in experiments:
            raise UserError(f"no experiment {args.experiment!r}{nearest(args.experiment, experiments)}")
    except UserError as error:
        sys.exit(f"error: {error}")
    chosen = {args.experiment: experiments[args.experiment]} if args.experiment else experiments
    if args.json:
        print(json.dumps({name: run.to_dict() for name, run in all_runs(chosen).items()}, indent=1))
        return
    print(summary(chosen, scale))
    for experiment in chosen.values() if args.experiment else ():
        for point in experiment.points:
            print(f"    {point.axes}: {point.skipped or ' '.join(run.name() for run in point.runs)}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    main()

"""What the commands of `mtp.report` share: options, loading, one-line errors. No torch here."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment import EXPERIMENTS, Experiment, Scale, load_all, load_scale
from mtp.report.results import Results


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a command reads and writes, and what is to be reported."""

    scale: Scale
    results: Path
    figures: Path
    experiments: Path
    all: dict[str, Experiment]
    chosen: str = ""
    figure: str = ""

    @property
    def tables(self) -> Path:
        """Folder of CSV and HTML."""
        return self.results / self.scale.scale

    @property
    def pictures(self) -> Path:
        """Folder of SVG and PNG."""
        return self.figures / self.scale.scale

    @property
    def experiment(self) -> Experiment:
        return self.all[self.chosen]

    def measured(self) -> Results:
        return Results(self.results, self.scale.scale)


def run(
    work: Callable[[Place], None],
    module: str,
    doc: str,
    argv: Sequence[str] | None,
    wants: tuple[str, ...] = (),
) -> None:
    """Parse, load, work; a UserError becomes one line on stderr and exit status 2.

    `wants` holds "experiment" (an argument) and "figure" (an option) where the command knows them.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=doc.split("\n\n")[0])
    if "experiment" in wants:
        parser.add_argument("experiment", help="name of a YAML in experiments/paper or experiments/ablations")
    if "figure" in wants:
        parser.add_argument("--figure", default="", help="name of one figure (default: all of the experiment)")
    parser.add_argument("--scale", default="cpu", help="file name in experiments/scales (default: cpu)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--figures", type=Path, default=Path("figures"), help="default: figures")
    parser.add_argument("--experiments", type=Path, default=EXPERIMENTS, help="default: experiments")
    args = parser.parse_args(argv)
    chosen = getattr(args, "experiment", "")
    try:
        scale = load_scale(args.scale, args.experiments)
        known = load_all(scale, args.experiments, args.results / scale.scale)
        if chosen and chosen not in known:
            raise UserError(f"no experiment {chosen!r}{nearest(chosen, known)}")
        figure = getattr(args, "figure", "")
        work(Place(scale, args.results, args.figures, args.experiments, known, chosen, figure))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

"""The figures of an experiment as SVG and PNG. No torch here.

    python -m mtp.report.figures table1 --scale cpu      # figures/cpu/table1.<figure>.svg and .png

`kind` in the YAML names a file in `mtp/report/kinds/`, whose `draw(picture)` returns a matplotlib figure.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment import Experiment
from mtp.report import cli, style
from mtp.report.picture import Picture
from mtp.report.results import Results


def draw(experiment: Experiment, results: Results, folder: Path, only: str = "") -> None:
    """Draw the figures of an experiment, or the one called `only`.

    Raises:
        UserError: unknown axis, or a missing result; names file and key.
    """
    names = [figure.name for figure in experiment.spec.figures]
    if only and only not in names:
        raise UserError(f"{experiment.path}: figures: none is called {only!r}{nearest(only, names)}")
    style.apply()
    for index, figure in enumerate(experiment.spec.figures):
        if only not in ("", figure.name):
            continue
        picture = Picture(experiment, index, results)
        module = importlib.import_module(f"mtp.report.kinds.{figure.kind}")
        style.save(module.draw(picture), folder / f"{experiment.name}.{figure.name}")


def work(place: cli.Place) -> None:
    draw(place.experiment, place.measured(), place.pictures, place.figure)


def main(argv: Sequence[str] | None = None) -> None:
    cli.run(work, "mtp.report.figures", __doc__, argv, wants=("experiment", "figure"))


if __name__ == "__main__":
    main()

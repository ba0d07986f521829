"""Links between the pages and files of a scale. No torch here."""

import dataclasses
import os
from pathlib import Path
from urllib.parse import quote

from mtp.errors import UserError


@dataclasses.dataclass(frozen=True)
class Link:
    """A relative link."""

    text: str
    href: str


def relative(path: Path, page: Path) -> str:
    """`path` as a link on `page`."""
    return quote(os.path.relpath(path, page.parent).replace(os.sep, "/"))


def existing(path: Path) -> Path:
    """The path, if there is a file.

    Raises:
        UserError: naming the file and how to make it.
    """
    if not path.exists():
        raise UserError(f"{path}: missing; run mtp.report.tables, figures and claims first (snakemake does)")
    return path


def snakemake(scale: str, target: str) -> str:
    """The command that makes a target at a scale, with all that it needs."""
    if scale == "cpu":
        return f"snakemake --cores all {target}"
    if scale in ("gpu", "paper"):
        return f"snakemake --workflow-profile profiles/{scale} {target}"
    # The target comes first: --configfile takes every word behind it.
    return f"snakemake --cores all {target} --configfile experiments/scales/{scale}.yaml"

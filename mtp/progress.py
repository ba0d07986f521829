"""Progress bars with the time remaining: a bar on a terminal, a line every ten seconds in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def bar(iterable: Iterable[Any] | None = None, desc: str = "", **options: Any) -> "tqdm[Any]":
    """A tqdm bar on stderr; `total=`, `initial=` and `unit=` as in tqdm."""
    if not sys.stderr.isatty():
        options = {"mininterval": 10.0, "maxinterval": 10.0, "ascii": True, "ncols": 100} | options
    return tqdm(iterable, desc=desc, dynamic_ncols=sys.stderr.isatty(), file=sys.stderr, **options)

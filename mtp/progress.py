"""Progress bars with the time remaining: a bar on a terminal, a line every ten seconds in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


class _Lines:
    """A file in which a bar's redrawn line becomes a new line."""

    def write(self, text: str) -> None:
        text = text.replace("\r", "").strip()
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(iterable: Iterable[Any] | None = None, desc: str = "", **options: Any) -> "tqdm[Any]":
    """A tqdm bar on stderr; `total=`, `initial=` and `unit=` as in tqdm."""
    if sys.stderr.isatty():
        return tqdm(iterable, desc=desc, dynamic_ncols=True, file=sys.stderr, **options)
    quiet = {"mininterval": 10.0, "maxinterval": 10.0, "ascii": True, "ncols": 110}
    return tqdm(iterable, desc=desc, file=_Lines(), **quiet | options)

"""Where the files of a benchmark are: a folder that the user names, or the one that `fetch` fills."""

import json
import os
from pathlib import Path

from mtp.data.storage import sha256_of
from mtp.problems._problem import Unavailable

ENVIRONMENT = "MTP_BENCHMARKS"
"""Environment variable that names a folder with files of benchmarks."""
KEPT = Path("results/data/benchmarks")
"""Where `fetch` puts files, and a manifest `<benchmark>.json` beside each."""
AVAILABLE, UNAVAILABLE = "available", "unavailable"


def offered(file: str, folder: str = "") -> Path | None:
    """The file in the folder of the settings or, if it is not there, in that of the environment variable."""
    for place in (folder, os.environ.get(ENVIRONMENT, "")):
        if place and (path := Path(place).expanduser() / file).is_file():
            return path
    return None


def find(benchmark: str, file: str, folder: str, remedy: str) -> Path:
    """The file that the user offers, else the one that was fetched.

    Raises:
        Unavailable: there is none; with what `fetch` said, and the remedy.
    """
    path = offered(file, folder) or KEPT / file
    if path.is_file():
        return path
    try:
        reason = json.loads((KEPT / f"{benchmark}.json").read_text())["reason"]
    except (OSError, ValueError, KeyError):
        reason = ""
    raise Unavailable(reason or f"{file} is not here; {remedy}")


def unavailable(manifest: Path) -> bool:
    """Whether a benchmark's manifest says that its data could not be had."""
    try:
        return bool(json.loads(manifest.read_text())["status"] == UNAVAILABLE)
    except (OSError, ValueError, KeyError):
        return False


def state(benchmark: str, file: str, folder: str = "") -> str:
    """What decides whether a fetch has to be repeated: the hash of the file that the user offers, or nothing.

    Once there are data, they stay: then the state is the one they were fetched in, so that results of a file that is
    no longer offered are kept.
    """
    manifest = KEPT / f"{benchmark}.json"
    try:
        told = json.loads(manifest.read_text())
        if told["status"] == AVAILABLE and (KEPT / file).is_file():
            return str(told["offered"])
    except (OSError, ValueError, KeyError):
        pass
    path = offered(file, folder)
    return sha256_of(path) if path else ""

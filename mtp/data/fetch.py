"""Wheels of a lock file, downloaded by pip into a cache and read as zip files; nothing is installed or run."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mtp.data.lock import Pin, read_lock
from mtp.data.storage import sha256_of
from mtp.errors import UserError

CACHE = Path("results/data/wheels")
PIP_LOG = "pip.log"
"""In the cache folder: what pip said when it last failed."""

_SAYS_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|Errno 28\b")
_SAYS_WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES|HashMismatch")
_SAYS_NO_NETWORK = re.compile(
    r"Retrying \(Retry|NewConnectionError|Temporary failure in name resolution|Could not fetch URL"
    r"|Max retries exceeded|ConnectTimeout|ReadTimeoutError|Network is unreachable|ProxyError"
)
_SAYS_WITHDRAWN = re.compile(r"No matching distribution found|Could not find a version|404 Client Error")
_SAYS_NO_PIP = re.compile(r"No module named pip")


def wheels(lock: Path, cache: Path = CACHE) -> dict[Pin, Path]:
    """The wheel of every pin, in the order of the lock file; downloads only what the cache lacks.

    Every returned file has one of the pin's hashes: pip checks what it downloads, and the cache is checked here.

    Raises:
        UserError: no network, wrong hash, withdrawn release, full disk or no pip; names lock file and package.
    """
    pins = read_lock(lock)
    found = _cached(cache)
    missing = [pin for pin in pins if not any(digest in found for digest in pin.sha256)]
    if missing:
        print(f"Downloading {len(missing)} wheel(s) of {lock} into {cache}", file=sys.stderr, flush=True)
        _download(lock, missing, cache)
        found = _cached(cache)
    paths: dict[Pin, Path] = {}
    for pin in pins:
        have = [found[digest] for digest in pin.sha256 if digest in found]
        if not have:
            raise UserError(f"{lock}: {pin}: pip brought no file with the locked hash into {cache}")
        paths[pin] = have[0]
    return paths


def _cached(cache: Path) -> dict[str, Path]:
    """SHA-256 -> path of every wheel in the cache."""
    return {sha256_of(path): path for path in sorted(cache.glob("*.whl"))}


def _download(lock: Path, pins: list[Pin], cache: Path) -> None:
    """Download into a temporary folder inside the cache, then move the finished wheels up."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".tmp-") as folder:
            wanted = Path(folder) / "requirements.txt"
            wanted.write_text("".join(pin.line() + "\n" for pin in pins))
            command = [sys.executable, "-m", "pip", "download"]
            command += ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--require-hashes"]
            command += [
                "--disable-pip-version-check",
                "--no-input",
                "--progress-bar=off",
                "--retries=2",
                "--timeout=20",
            ]
            command += ["-d", folder, "-r", str(wanted)]
            # A wheel is moved as a file of its own, so pip must not be told to look into the cache.
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
            if done.returncode != 0:
                said = done.stdout + done.stderr
                with contextlib.suppress(OSError):
                    (cache / PIP_LOG).write_text("\n".join(said.splitlines()[-60:]) + "\n")
                raise UserError(f"{lock}: {_cause(said, pins)} (pip's last lines: {cache / PIP_LOG})")
            for path in sorted(Path(folder).glob("*.whl")):
                path.replace(cache / path.name)
    except OSError as error:
        raise UserError(
            f"{lock}: cannot write wheels into {cache}: {error.strerror}; free some space or pass --cache"
        ) from None


def _cause(said: str, pins: list[Pin]) -> str:
    """One clause that says which package failed and why, from all that pip printed."""
    package = _blamed(said, pins)
    if _SAYS_NO_PIP.search(said):
        return f"{sys.executable} has no pip, which downloads the wheels; install pip into this environment"
    if _SAYS_NO_SPACE.search(said):
        return f"{package}: no space left on the disk while downloading"
    if _SAYS_WRONG_HASH.search(said):
        return f"{package}: wrong hash: the index serves another file than the one that was locked; do not use it"
    if _SAYS_NO_NETWORK.search(said):
        return (
            f"{package}: no network: the package index cannot be reached; check the connection or proxy and run again"
        )
    if _SAYS_WITHDRAWN.search(said):
        return (
            f"{package}: this release is not on the package index (withdrawn, or a mirror lacks it); lock another one"
        )
    last = said.strip().splitlines()[-1] if said.strip() else "pip said nothing"
    return f"{package}: pip download failed: {last}"


def _blamed(said: str, pins: list[Pin]) -> str:
    """The package that pip's error names, else the last one it was collecting."""
    match = (
        re.search(r"No matching distribution found for ([^\s(]+==[^\s(]+)", said)
        or re.search(r"DO NOT MATCH THE HASHES.*?\n\s+(\S+==\S+)", said, re.DOTALL)
        or re.search(r"requirement (\S+==[^\s(]+)", said)
    )
    if match:
        return match[1]
    collected = re.findall(r"Collecting (\S+==\S+)", said)
    return collected[-1] if collected else str(pins[0])


def python_files(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """(path inside the wheel, content) of every .py file, in the order of the archive.

    Raises:
        UserError: the file is no readable zip archive.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".py"):
                    yield name, archive.read(name)
    except zipfile.BadZipFile as error:
        raise UserError(f"{wheel}: not a readable wheel: {error}; delete it and run again") from None


def python_size(wheel: Path) -> int:
    """Bytes of all .py files, unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return sum(info.file_size for info in archive.infolist() if info.filename.endswith(".py"))

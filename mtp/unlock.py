"""Remove the lock that a killed Snakemake left behind, unless one is still running here.

python -m mtp.unlock
"""

import os
import sys
from pathlib import Path

import psutil


def running_snakemake(folder: Path) -> int | None:
    """Process id of a Snakemake whose working directory is `folder`, or None."""
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        here = process.info["cwd"] == str(folder) and process.info["pid"] != os.getpid()
        if here and any(Path(word).name == "snakemake" for word in words[:3]):
            return int(process.info["pid"])
    return None


def main() -> None:
    here = Path.cwd()
    locks = list((here / ".snakemake" / "locks").glob("*"))
    if not locks:
        return
    if pid := running_snakemake(here):
        sys.exit(f"error: snakemake (process {pid}) is already at work in this folder; wait for it or stop it")
    for lock in locks:
        lock.unlink()
    print("removed the lock of a snakemake that was killed; finished work is kept", file=sys.stderr)


if __name__ == "__main__":
    main()

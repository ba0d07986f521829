"""Settings of the process that make small models fast on a CPU, chosen by measurement (docs/log.md).

- One thread per job and as many jobs as cores beats many threads in one job.
- Float32 matrix products by oneDNN instead of MKL, where oneDNN really computes in float32.
- Freed memory stays in the process: page faults are 7 to 37 % of a step otherwise.
"""

import contextlib
import ctypes
import logging
import os
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger("mtp.cpu")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def _keep_freed_memory() -> None:
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:  # not glibc
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(M_TOP_PAD, 64 * 2**20)


def _factors(dtype: torch.dtype) -> list[Tensor]:
    """Two matrices of fixed numbers, to be multiplied as a model's layers do it."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(256, 256, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2)]


def _to_onednn() -> bool:
    """Send float32 products to oneDNN; returns whether that changes their bits.

    `mkldnn.matmul.fp32_precision = "bf16"` is the switch. On a CPU with AMX it would really compute in bfloat16
    (relative error 3e-3, not 3e-7), so the error is measured and the switch taken back if it is large. On one
    without AVX-512 it does nothing, and the products are MKL's as before.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.backends.mkldnn, "matmul"):
        return False
    exact, before = F.linear(*_factors(torch.float64)), F.linear(*_factors(torch.float32))
    precision = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    after = F.linear(*_factors(torch.float32))
    if (after - exact).norm() > 1e-5 * exact.norm():
        torch.backends.mkldnn.matmul.fp32_precision = precision
        return False
    return not torch.equal(before, after)


def _seconds(dtype: torch.dtype) -> float:
    """Time of a small product, the best of three."""
    factors, times = _factors(dtype), []
    for _ in range(3):
        start = time.perf_counter()
        F.linear(*factors)
        times.append(time.perf_counter() - start)
    return min(times)


def prepare(precision: str = "float32", compiled: bool = False) -> str:
    """Apply the settings; returns the name of the arithmetic, part of a run's identity.

    Runs of one name on one machine agree bit by bit; float32 by MKL or by oneDNN, bfloat16, and either of them
    through `torch.compile` round differently.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _keep_freed_memory()
    arithmetic = "float32-onednn" if _to_onednn() else "float32"
    if precision != "float32":
        arithmetic = precision
        slower = _seconds(torch.bfloat16) / _seconds(torch.float32)
        if slower > 1.5:
            log.warning(
                "precision: bfloat16 products take %.0f times as long as float32 ones on this CPU, which has no "
                "instructions for them; float32 would be faster",
                slower,
            )
    return f"{arithmetic}-compiled" if compiled else arithmetic


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

"""Peak memory of a step, measured from within a process that does nothing else."""

import ctypes
import gc
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # an optimiser imports it when it is made (2 s); here once for all processes, before they fork

from mtp import cpu
from mtp.config import RunConfig
from mtp.measures._common import random_windows
from mtp.step import Step

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4  # malloc.h
SMALL = 64 * 1024
"""Bytes; every larger block is a mapping of its own, which goes back to the system as soon as it is freed."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def available() -> bool:
    """Whether this system tells a process its own high-water mark."""
    return torch.cuda.is_available() or (STATUS.exists() and CLEAR.exists())


def give_freed_memory_back() -> None:
    """Undo what `mtp.cpu` does for speed: there the high-water mark would be that of all steps so far."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(M_MMAP_MAX, 2**20)
    libc.mallopt(M_MMAP_THRESHOLD, SMALL)
    libc.mallopt(M_TRIM_THRESHOLD, SMALL)
    libc.mallopt(M_TOP_PAD, 0)


def _status(key: str) -> int:
    """Bytes that /proc/self/status gives for `key`."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def _resident_peak(step: Step, windows: torch.Tensor) -> int:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    CLEAR.write_text("5")  # sets VmHWM to VmRSS
    before = _status("VmRSS")
    step(windows, 1)
    return _status("VmHWM") - before


def _allocated_peak(step: Step, windows: torch.Tensor) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(windows, 1)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def peaks(values: dict[str, Any], repeats: int) -> list[int] | str:
    """Bytes above weights and optimiser state at the peak of a step, `repeats` times; or why there is no number.

    The first step, of a single window, is not counted: it makes the optimiser's state and loads the kernels.
    """
    config = RunConfig.from_dict(values)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        cpu.prepare()
        give_freed_memory_back()
        torch.set_num_threads(1)
    try:
        step, windows = Step(config, device), random_windows(config)
        step(windows[:1], 0)
        measured = _allocated_peak if device.type == "cuda" else _resident_peak
        return [measured(step, windows) for _ in range(repeats)]
    except torch.OutOfMemoryError:
        return "a step does not fit the GPU"

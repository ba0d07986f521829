"""Peak memory of a training step above weights and optimiser state: gradients, activations, logits.

Each configuration runs in a fresh process, forked from one that has imported torch and done nothing else. On a CPU it
is the resident high-water mark, with every freed block returned to the system; on a GPU what the allocator handed out
at most. Beside it stands the floor (`mtp.floors.step_bytes`).
"""

import concurrent.futures
import dataclasses
import multiprocessing
import os
from typing import Any

import torch

from mtp import floors
from mtp.config import RunConfig
from mtp.measures import _memory_child
from mtp.measures._common import median, nothing, number, shaped
from mtp.progress import bar
from mtp.settings import checked, positive

VERSION = 1
METRICS = ("peak_mb", "floor_mb", "over_floor", "relative_memory", "relative_to_naive")
SIDE_BY_SIDE = 4
"""At most so many processes at a time on a CPU: memory is not shared, so they do not disturb each other."""
MB = 1e6

Peak = tuple[float, float, float]
"""Median over the repeats, lowest, highest; in MB."""


def all_peaks(configs: dict[str, RunConfig], repeats: int) -> dict[str, Peak | str]:
    """Peak of every configuration, or why it has none."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_memory_child.__name__])
    workers = 1 if torch.cuda.is_available() else min(SIDE_BY_SIDE, len(os.sched_getaffinity(0)))
    found: dict[str, Peak | str] = {}
    with concurrent.futures.ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        jobs = {pool.submit(_memory_child.peaks, c.to_dict(), repeats): name for name, c in configs.items()}
        done = concurrent.futures.as_completed(jobs)
        for job in bar(done, desc="step_memory", unit="step", total=len(jobs)):
            peaks = job.result()
            if isinstance(peaks, str):
                found[jobs[job]] = peaks
            else:
                in_mb = [peak / MB for peak in peaks]
                found[jobs[job]] = median(in_mb)[0], min(in_mb), max(in_mb)
    return found


def quotient(over: Peak, under: Peak) -> Peak:
    """The quotient of two peaks, with the ends that lie furthest apart."""
    return over[0] / under[0], over[1] / under[2], over[2] / under[1]


def run(configs: list[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """Measure; settings: repeats (steps per configuration), step_tokens (positions of a step).

    Raises:
        UserError: wrong settings.
    """
    settings = checked(settings, {"repeats": int, "step_tokens": int}, {})
    positive(settings, "repeats", "step_tokens")
    record = {"status": "measured", "reason": "", "settings": settings}
    if not _memory_child.available():
        reason = "this system has no /proc/self/clear_refs, by which a process resets its high-water mark"
        return {**record, "status": "unavailable", "reason": reason, "runs": {}}
    shapes = {config.name(): shaped(config, settings["step_tokens"]) for config in configs}
    found = all_peaks(shapes, settings["repeats"])
    runs = {}
    for config in configs:
        name, own = config.name(), found[config.name()]
        if isinstance(own, str):
            runs[name] = nothing(METRICS, own)
            continue
        floor = floors.step_bytes(shapes[name]) / MB
        metrics = [number("peak_mb", *own), number("floor_mb", floor)]
        metrics.append(number("over_floor", *(end / floor for end in own)))
        one = found.get(floors.next_token(config).name())
        naive = found.get(dataclasses.replace(config, loss_scheme="naive").name())
        if isinstance(one, tuple):
            metrics.append(number("relative_memory", *quotient(own, one)))
        if isinstance(naive, tuple):
            metrics.append(number("relative_to_naive", *quotient(own, naive)))
        runs[name] = {"metrics": metrics}
    return {**record, "runs": runs}

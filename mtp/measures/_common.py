"""What measures share: the step to be measured, medians with intervals, and records of numbers."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtp.config import RunConfig

RESAMPLES = 2000


def shaped(config: RunConfig, step_tokens: int) -> RunConfig:
    """The configuration with about `step_tokens` positions a step, in one pass."""
    return dataclasses.replace(config, batch_size=max(1, step_tokens // config.context), micro_batch=0)


def random_windows(config: RunConfig) -> Tensor:
    """One batch of random tokens: window_BS, T + n tokens each. What a step costs does not depend on them."""
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch_size, config.context + config.n_future)
    return torch.randint(config.vocab_size, shape, generator=generator)


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and the ends of its 95 % bootstrap interval."""
    found = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(found), size=(RESAMPLES, len(found)))
    low, high = np.percentile(np.median(found[drawn], axis=1), [2.5, 97.5])
    return float(np.median(found)), float(low), float(high)


def number(metric: str, value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """One entry of `metrics`; arithmetic has no interval."""
    ends = {} if low is None or high is None else {"ci_low": low, "ci_high": high}
    return {"metric": metric, "value": value, **ends}


def nothing(metrics: Sequence[str], reason: str) -> dict[str, Any]:
    """The record of a configuration that could not be measured."""
    return {"metrics": [{"metric": metric, "value": None, "reason": reason} for metric in metrics]}

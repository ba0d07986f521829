"""AdamW and the learning-rate schedule of Table S13."""

import math

import torch

from mtp.config import RunConfig
from mtp.model import Model


def learning_rate(config: RunConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear warm-up to the peak, then cosine to `decay_ratio` times the peak."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    floor = config.decay_ratio
    return config.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def optimizer(config: RunConfig, model: Model) -> torch.optim.AdamW:
    """Fused AdamW; decoupled weight decay on matrices, none on the norms' vectors."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.peak_lr, betas=(config.beta1, config.beta2), fused=True)

"""AdamW as in Table S13."""

import torch

from mtp.config import RunConfig
from mtp.model import Model


def optimizer(config: RunConfig, model: Model) -> torch.optim.AdamW:
    """Fused AdamW; decoupled weight decay on matrices, none on the norms' vectors."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.peak_lr, betas=(config.beta1, config.beta2), fused=True)

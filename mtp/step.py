"""One optimiser step: micro-batches, loss, clipping, AdamW. Nothing in it makes the host wait for the device."""

import torch
from torch import Tensor

from mtp.config import RunConfig
from mtp.loss import backward, count_targets
from mtp.model import Model
from mtp.optimizer import optimizer
from mtp.schedule import head_weights, learning_rate


def clipped_together(model: Model) -> list[list[torch.nn.Parameter]]:
    """Parameters in groups, each with a gradient norm of its own.

    One group, unless heads are detached: then what head 1 trains must not feel the others through the common norm.
    """
    parameters = list(model.parameters())
    if not model.config.detach_heads:
        return [parameters]
    token = torch.zeros(1, 1, dtype=torch.long, device=parameters[0].device)
    used = torch.autograd.grad(model(token).sum(), parameters, allow_unused=True)
    return [[p for p, grad in zip(parameters, used, strict=True) if (grad is None) == later] for later in (False, True)]


class Step:
    """Model and optimiser of a run; calling it trains on one batch."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = Model(config).to(device)
        self.optimizer = optimizer(config, self.model)
        self.clipped = clipped_together(self.model)

    def autocast(self) -> torch.autocast:
        """The arithmetic of the run, as a context manager."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")

    def __call__(self, window_BS: Tensor, step: int) -> tuple[Tensor, Tensor, float]:
        """Train on one batch, windows of T + n tokens on the host; `step` counts from 0.

        Returns:
            losses_N: mean nats per target and head, NaN for a head that is not trained at this step.
            norm: of the gradient before clipping.
            rate: learning rate.
        """
        config = self.config
        weights_N, counts_N = head_weights(config, step), count_targets(config, window_BS)
        nats_N = torch.zeros(config.n_future, device=self.device)
        for part in window_BS.to(self.device, non_blocking=True).split(config.micro_batch or config.batch_size):
            with self.autocast():
                nats_N += backward(self.model, part, weights_N, counts_N)
        norms = [torch.nn.utils.clip_grad_norm_(parameters, config.clip) for parameters in self.clipped]
        rate = learning_rate(config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        # Gradients are dropped, not zeroed: AdamW must leave the weights of heads alone that were not computed.
        self.optimizer.zero_grad(set_to_none=True)
        return nats_N / torch.tensor(counts_N).to(self.device, non_blocking=True), norms[0], rate

"""One optimiser step: micro-batches, loss, clipping, AdamW. Nothing in it makes the host wait for the device."""

from collections.abc import Callable

import torch
from torch import Tensor

from mtp.config import RunConfig
from mtp.distributed import Ranks
from mtp.loss import backward, count_targets
from mtp.model import Model
from mtp.optimizer import optimizer
from mtp.parallel.alone import Alone
from mtp.schedule import head_weights, learning_rate


def clipped_together(model: Model) -> list[list[str]]:
    """Names of parameters in groups, each with a gradient norm of its own.

    One group, unless heads are detached: then what head 1 trains must not feel the others through the common norm.
    """
    parameters = dict(model.named_parameters())
    if not model.config.detach_heads:
        return [list(parameters)]
    token = torch.zeros(1, 1, dtype=torch.long)
    with torch.compiler.set_stance("force_eager"):
        used = torch.autograd.grad(model(token).sum(), list(parameters.values()), allow_unused=True)
    return [[p for p, grad in zip(parameters, used, strict=True) if (grad is None) == later] for later in (False, True)]


class Step:
    """Model and optimiser of a run; calling it trains on one batch."""

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        way: Alone | None = None,
        begin: Callable[[Model], None] | None = None,
    ) -> None:
        """
        Args:
            way: how the step is computed by several processes (mtp/parallel); default: by this one.
            begin: puts the weights to start from into the new model; default: it starts from random ones.
        """
        self.config, self.device = config, device
        self.way = way or Alone(Ranks(device))
        self.model = Model(config)
        if begin is not None:
            begin(self.model)
        groups = clipped_together(self.model)
        self.way.place(self.model)
        parameters = dict(self.model.named_parameters())
        self.clipped = [[parameters[name] for name in group] for group in groups]
        self.optimizer = optimizer(config, self.model)

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
        own_BS = self.way.share(window_BS).to(self.device, non_blocking=True)
        parts = own_BS.split(config.micro_batch or config.batch_size)
        with self.way.gradients():
            for i, part in enumerate(parts):
                self.way.begin(last=i + 1 == len(parts))
                with self.autocast():
                    nats_N += backward(self.model, part, weights_N, counts_N)
        nats_N = self.way.total(nats_N)
        norms = [self.way.clip(parameters, config.clip) for parameters in self.clipped]
        rate = learning_rate(config, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        # Gradients are dropped, not zeroed: AdamW must leave the weights of heads alone that were not computed.
        self.optimizer.zero_grad(set_to_none=True)
        return nats_N / torch.tensor(counts_N).to(self.device, non_blocking=True), norms[0], rate

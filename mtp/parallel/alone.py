"""One process computes all of a step. The ways for many processes override what they do otherwise."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mtp.distributed import Ranks
from mtp.model import Model


class Alone:
    """What a step asks of the way in which it is computed."""

    title = "1 process"

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks

    def place(self, model: Model) -> None:
        """Put a fresh model, the same on all processes, where it is trained; its parameters may be replaced."""
        model.to(self.ranks.device)

    def share(self, window_BS: Tensor) -> Tensor:
        """The windows of the batch that this process computes."""
        return window_BS

    @contextlib.contextmanager
    def gradients(self) -> Iterator[None]:
        """Around the micro-batches of a step; afterwards `grad` holds the sum over all windows of the batch."""
        yield

    def begin(self, last: bool) -> None:
        """Before each micro-batch; `last` when its gradients complete those of the step."""

    def total(self, nats_N: Tensor) -> Tensor:
        """Sum over the processes."""
        return nats_N

    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        """Scale the gradients so that their common norm is at most `limit`; returns the norm before."""
        return torch.nn.utils.clip_grad_norm_(parameters, limit)

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        """Within it, all processes together may run the model forward outside a step."""
        yield

    def whole(self, weight: Tensor) -> Tensor:
        """A weight as one tensor; all processes must ask together."""
        return weight

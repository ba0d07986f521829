"""Data parallel: every process holds the whole model and computes its share of the batch's windows.

The gradients are summed over the processes once per step. Summed, not averaged: the loss divides by the targets of
the whole batch (`mtp.loss.backward`), so a share's gradient is a term of the batch's, even where documents are kept
apart and shares have different numbers of targets.

torch's own DistributedDataParallel does not fit the sequential order. It expects one backward pass per forward pass,
in which every weight becomes ready once; here a step runs a backward pass per head, the final norm gets a
contribution in each of them, and the chunked cross-entropy writes the unembedding's gradient without autograd. What
it does is done here in the same way: buckets whose all-reduce begins when their last gradient is there, so that
gradients of heads travel while the trunk goes backward, and those of upper layers while lower ones do.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mtp.distributed import Ranks
from mtp.model import Model
from mtp.parallel.alone import Alone

BUCKET_BYTES = 25 * 2**20
"""Layers of the trunk travel together up to this size (DistributedDataParallel's default)."""


@dataclasses.dataclass
class Bucket:
    """Weights whose gradients travel together."""

    parameters: list[nn.Parameter]
    missing: int = 0
    """Gradients of this step that are not there yet."""
    sent: bool = False


class Replicated(Alone):
    """The whole model on every process."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks)
        self.title = f"ddp, {ranks.size} processes"
        self.last = False
        self.travelling: list[tuple[list[nn.Parameter], Tensor, dist.Work]] = []

    def place(self, model: Model) -> None:
        super().place(model)
        # All heads contribute to these. In the sequential order they are complete when the trunk's turn comes.
        self.shared = Bucket([*model.norm.parameters(), *model.unembeddings.parameters()])
        before_trunk = [self.shared] if model.config.loss_scheme in ("sequential", "chunked") else []
        heads = [Bucket(list(part.parameters())) for part in parts_of_heads(model)]
        trunk = _trunk_buckets(model)
        self.buckets = [*heads, *trunk, self.shared, Bucket(list(model.embedding.parameters()))]
        # A weight of a layer gets its gradient in one piece: a layer runs once per micro-batch.
        for bucket, first in [(bucket, []) for bucket in heads] + [(bucket, before_trunk) for bucket in trunk]:
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(functools.partial(self._arrived, bucket, first))

    def share(self, window_BS: Tensor) -> Tensor:
        each = len(window_BS) // self.ranks.size
        return window_BS[self.ranks.rank * each : (self.ranks.rank + 1) * each]

    @contextlib.contextmanager
    def gradients(self) -> Iterator[None]:
        for bucket in self.buckets:
            bucket.missing, bucket.sent = len(bucket.parameters), False
        yield
        for bucket in self.buckets:
            self._send(bucket)
        self._land()
        self.last = False

    def _land(self) -> None:
        """Wait for all sums under way and hand them out."""
        for parameters, flat, work in self.travelling:
            work.wait()
            for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                parameter.grad = piece.view_as(parameter)
        self.travelling.clear()

    def begin(self, last: bool) -> None:
        self.last = last

    def _arrived(self, bucket: Bucket, before: list[Bucket], parameter: Tensor) -> None:
        """A gradient of the bucket is there, and the buckets `before` are complete."""
        if not self.last:
            return
        for complete in before:
            self._send(complete)
        bucket.missing -= 1
        if bucket.missing == 0:
            self._send(bucket)

    def _send(self, bucket: Bucket) -> None:
        """Begin to sum. Heads that are not trained at this step have no gradient, on all processes alike."""
        trained = [p for p in bucket.parameters if p.grad is not None]
        if bucket.sent or not trained:
            return
        bucket.sent = True
        flat = torch.cat([p.grad.flatten() for p in trained if p.grad is not None])
        self.travelling.append((trained, flat, dist.all_reduce(flat, async_op=True)))

    def total(self, nats_N: Tensor) -> Tensor:
        dist.all_reduce(nats_N)
        return nats_N


def _trunk_buckets(model: Model) -> list[Bucket]:
    """Neighbouring layers together, the last layers first: so they become ready."""
    buckets: list[Bucket] = []
    room = 0
    for layer in reversed(model.trunk):
        parameters = list(layer.parameters())
        size = sum(p.nbytes for p in parameters)
        if size > room:
            buckets.append(Bucket([]))
            room = BUCKET_BYTES
        buckets[-1].parameters += parameters
        room -= size
    return buckets


def parts_of_heads(model: Model) -> Sequence[nn.Module]:
    """Layers, matrices and joins of the heads: each runs at most once per micro-batch, and together they may rest."""
    return [part for parts in model.heads.children() for part in parts.children()]

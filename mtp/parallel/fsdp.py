"""FSDP2: weights, gradients and optimiser state are cut into as many pieces as there are processes.

A process gathers a layer's weights when it needs them and adds its gradients into the pieces of the others when it
has them (`torch.distributed.fsdp.fully_shard`). Table S5 blames FSDP for an overhead that grows with n: with one
group around everything, each head's backward pass would gather and scatter all over again. Here

- the trunk is a tree of its own: its layers are gathered twice (forward, backward) and scattered once, however many
  heads stand on it, because it has one backward pass;
- every part of a head is a tree of its own: gathered once, scattered once, by its own backward pass;
- embedding, final norm and unembeddings are gathered once per step, however many heads and micro-batches read them;
  their gradients add up in whole on each process and are scattered once, after the last backward pass.

With micro-batches, gradients stay whole until the last one: weights are gathered per micro-batch, gradients are
scattered once per step. Weights travel in float32; autocast rounds them where they are used, as on one device.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Partial

from mtp.distributed import Ranks
from mtp.model import Model
from mtp.parallel.ddp import Replicated, parts_of_heads


class Sharded(Replicated):
    """A piece of every weight on every process."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks)
        self.title = f"fsdp, {ranks.size} processes"
        self.mesh = init_device_mesh(ranks.device.type, (ranks.size,))

    def place(self, model: Model) -> None:
        """Cut the model up part by part: no device ever holds more than its pieces and one part."""
        for block in model.trunk:
            self._cut(block)
        self.trees = [self._cut(model.trunk), *map(self._cut, parts_of_heads(model))]
        self.held: list[Any] = [self._cut(part) for part in (model.embedding, model.norm, *model.unembeddings)]
        for part in self.held:
            part.set_requires_gradient_sync(False)
            part.set_reshard_after_backward(False)
        self.parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
        model.to(self.ranks.device)

    def _cut(self, part: nn.Module) -> FSDPModule:
        cut = fully_shard(part, mesh=self.mesh)
        # Gradients are sums over the windows of the whole batch, see mtp/parallel/ddp.py.
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)
        return cut

    @contextlib.contextmanager
    def gradients(self) -> Iterator[None]:
        for part in self.held:
            part.unshard()
        yield
        for part in self.held:
            gradient = part.weight.grad
            part.weight.grad = None
            part.reshard()
            if gradient is not None:
                terms = DTensor.from_local(gradient, self.mesh, [Partial()])
                part.weight.grad = terms.redistribute(placements=part.weight.placements)

    def begin(self, last: bool) -> None:
        for tree in self.trees:
            tree.set_requires_gradient_sync(last)

    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        gradients = [_local(p.grad) for p in parameters if p.grad is not None]
        squared = torch.nn.utils.get_total_norm(gradients).to(self.ranks.device).square()
        dist.all_reduce(squared)
        norm = squared.sqrt()
        if gradients:
            torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
        return norm

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        for part in self.held:
            part.unshard()
        yield
        for part in self.parts:
            part.reshard()

    def whole(self, weight: Tensor) -> Tensor:
        assert isinstance(weight, DTensor)
        return weight.full_tensor()


def _local(tensor: Tensor) -> Tensor:
    """This process's piece."""
    assert isinstance(tensor, DTensor)
    return tensor.to_local()

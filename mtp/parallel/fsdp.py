"""FSDP2: weights, gradients and optimiser state are cut into as many pieces as there are processes.

A process gathers a layer's weights when it needs them and adds its gradients into the pieces of the others when it
has them (`torch.distributed.fsdp.fully_shard`). Table S5 blames FSDP for an overhead that grows with n: with one
group around everything, each head's backward pass would gather and scatter all over again. Here

- the trunk is a tree of its own: its layers are gathered twice (forward, backward) and scattered once, however many
  heads stand on it, because it has one backward pass;
- every part of a head is a tree of its own: gathered once, scattered once, by its own backward pass;
- embedding and unembeddings are gathered once per step, however many heads and micro-batches read them; their
  gradients add up in whole on each process and are scattered once, after the last backward pass;
- the norms' vectors stay whole on every process, and their gradients are summed in one piece at the end.

With micro-batches, gradients stay whole until the last one: weights are gathered per micro-batch, gradients are
scattered once per step. In bfloat16 the layers' matrices are rounded before they travel, as autocast would after it:
the same numbers in half the bytes, and no rounded copy of the whole trunk waits for the backward pass.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial

from mtp.distributed import Ranks
from mtp.model import Model
from mtp.parallel.ddp import Bucket, Replicated, parts_of_heads

_AS_IT_IS = MixedPrecisionPolicy()


class Sharded(Replicated):
    """A piece of every weight on every process."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks)
        self.title = f"fsdp, {ranks.size} processes"
        self.mesh = init_device_mesh(ranks.device.type, (ranks.size,))

    def place(self, model: Model) -> None:
        """Cut the model up part by part: no device ever holds more than its pieces and one part."""
        self.vectors = [p for p in model.parameters() if p.dim() < 2]
        rounded = model.config.precision == "bfloat16"
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if rounded else MixedPrecisionPolicy()
        # Autocast decides about activations: the residual stream stays in float32.
        policy = dataclasses.replace(policy, cast_forward_inputs=False)
        for block in model.trunk:
            self._cut(block, policy)
        self.trees = [self._cut(part, policy) for part in (model.trunk, *parts_of_heads(model))]
        self.held: list[Any] = [self._cut(part) for part in (model.embedding, *model.unembeddings)]
        for part in self.held:
            part.set_requires_gradient_sync(False)
            part.set_reshard_after_backward(False)
        self.parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
        model.to(self.ranks.device)

    def _cut(self, part: nn.Module, policy: MixedPrecisionPolicy = _AS_IT_IS) -> FSDPModule:
        cut = fully_shard(part, mesh=self.mesh, mp_policy=policy, ignored_params=set(self.vectors))
        # Gradients are sums over the windows of the whole batch, see mtp/parallel/ddp.py.
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)
        return cut

    @contextlib.contextmanager
    def gradients(self) -> Iterator[None]:
        for part in self.held:
            part.unshard()
        yield
        self._send(Bucket(self.vectors))
        for part in self.held:
            gradient = part.weight.grad
            part.weight.grad = None
            part.reshard()
            if gradient is not None:
                terms = DTensor.from_local(gradient, self.mesh, [Partial()])
                part.weight.grad = terms.redistribute(placements=part.weight.placements)
        self._land()

    def begin(self, last: bool) -> None:
        for tree in self.trees:
            tree.set_requires_gradient_sync(last)

    def clip(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        gradients = [p.grad for p in parameters if p.grad is not None]
        pieces = [grad.to_local() for grad in gradients if isinstance(grad, DTensor)]
        whole = [grad for grad in gradients if not isinstance(grad, DTensor)]
        squared = self._norm(pieces).square()
        dist.all_reduce(squared)
        norm = (squared + self._norm(whole).square()).sqrt()
        for together in (pieces, whole):
            if together:
                torch._foreach_mul_(together, (limit / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def _norm(self, gradients: list[Tensor]) -> Tensor:
        return torch.nn.utils.get_total_norm(gradients).to(self.ranks.device)

    @contextlib.contextmanager
    def readable(self) -> Iterator[None]:
        for part in self.held:
            part.unshard()
        yield
        for part in self.parts:
            part.reshard()

    def whole(self, weight: Tensor) -> Tensor:
        return weight.full_tensor() if isinstance(weight, DTensor) else weight

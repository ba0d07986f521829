"""Heads without a network of their own: all n predict from the trunk state."""

from torch import Tensor, nn

from mtp.block import Rope
from mtp.config import RunConfig
from mtp.heads._branch import Branch


class NoHeads(nn.Module):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.branches = (Branch(None, tuple(range(config.n_future))),)

    def forward(
        self, branch: int, x_BTD: Tensor, rope: Rope, ahead_BTD: Tensor | None, mask: Tensor | None, **cached: object
    ) -> Tensor:
        """The trunk state itself: z_BTD -> z_BTD."""
        return x_BTD

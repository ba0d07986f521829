"""Heads of one transformer layer each, whatever they stand on."""

from torch import Tensor, nn

from mtp.block import Block, Rope
from mtp.config import RunConfig


class BlockHeads(nn.Module):
    """One block per branch. Weights go by branch: `blocks.0` is the one nearest the trunk."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_future))

    def forward(
        self, branch: int, x_BTD: Tensor, rope: Rope, ahead_BTD: Tensor | None, mask: Tensor | None, **cached: object
    ) -> Tensor:
        """State of a branch from the state of its source: x_BTD -> h_BTD."""
        return self.blocks[branch](x_BTD, rope, mask, **cached)

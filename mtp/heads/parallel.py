"""Parallel transformer heads (Section 2, the paper's default): each head is one layer on the trunk state.

           +-> block 1 -> token t+1
    z_t ---+-> block 2 -> token t+2
           +-> block n -> token t+n

The n layers are taken from the trunk, so the number of weights does not depend on n.
"""

from torch import Tensor, nn

from mtp.block import Block, Rope
from mtp.config import RunConfig

LAYERS_PER_HEAD = 1


class Heads(nn.Module):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_future))

    def forward(self, head: int, z_BTD: Tensor, rope: Rope, **cached: object) -> Tensor:
        """State from which head `head` (from 0) predicts: z_BTD -> h_BTD."""
        return self.blocks[head](z_BTD, rope, **cached)

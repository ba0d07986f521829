"""DeepSeek-V3's chain (DeepSeek-AI, 2024, Section 2.2): head i sees the token that head i-1 predicts.

    z_t --> block 1 --+--> join 2 --> block 2 --+--> join 3 --> block 3
              |       |      ^          |       |      ^          |
          token t+1        x_t+1    token t+2        x_t+2    token t+3

join i = matrix [norm(state of head i-1); norm(embedding of x_{t+i-1})], 2 dim^2 weights. The embedding is the
trunk's. Head i is therefore no prediction from x_1..x_t alone: its loss is lower than a parallel head's, and
drafting is sequential. Head 1 sees no future token and is the next-token head, as everywhere.
"""

import torch
from torch import Tensor, nn

from mtp.block import Block, RMSNorm, Rope
from mtp.config import RunConfig
from mtp.heads._branch import chain

LAYOUT = {"layers_per_head": 1, "matrices_per_link": 2, "vectors_per_link": 2, "reads_ahead": True}


class Join(nn.Module):
    """State of the previous head and embedding of the token it predicts, as one state."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.state_norm = RMSNorm(config.dim, config.norm_eps)
        self.ahead_norm = RMSNorm(config.dim, config.norm_eps)
        self.matrix = nn.Linear(2 * config.dim, config.dim, bias=False)

    def forward(self, x_BTD: Tensor, ahead_BTD: Tensor) -> Tensor:
        return self.matrix(torch.cat([self.state_norm(x_BTD), self.ahead_norm(ahead_BTD)], dim=-1))


class Heads(nn.Module):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.branches = chain(range(config.n_future))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_future))
        self.joins = nn.ModuleList(Join(config) for _ in range(config.n_future - 1))

    def forward(
        self, branch: int, x_BTD: Tensor, rope: Rope, ahead_BTD: Tensor | None, mask: Tensor | None, **cached: object
    ) -> Tensor:
        """State of a head from that of the one before; `ahead_BTD` embeds the tokens `branch` places ahead."""
        if branch > 0:
            assert ahead_BTD is not None
            x_BTD = self.joins[branch - 1](x_BTD, ahead_BTD)
        return self.blocks[branch](x_BTD, rope, mask, **cached)

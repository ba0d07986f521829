"""Causal chain (Appendix B, Figure S11): head i is a layer on top of head i-1.

    z_t --> block 1 --> block 2 --> ... --> block n
              |           |                   |
          token t+1   token t+2           token t+n

The next-token head is the one nearest the trunk, so plain decoding uses L - n + 1 layers, as with parallel heads.
"""

from mtp.config import RunConfig
from mtp.heads._blocks import BlockHeads
from mtp.heads._branch import chain

LAYOUT = {"layers_per_head": 1}


class Heads(BlockHeads):
    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.branches = chain(range(config.n_future))

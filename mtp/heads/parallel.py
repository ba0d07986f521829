"""Parallel transformer heads (Section 2, the paper's default): each head is one layer on the trunk state.

           +-> block 1 -> token t+1
    z_t ---+-> block 2 -> token t+2
           +-> block n -> token t+n

The n layers are taken from the trunk, so the number of weights does not depend on n.
"""

from mtp.config import RunConfig
from mtp.heads._blocks import BlockHeads
from mtp.heads._branch import star

LAYOUT = {"layers_per_head": 1}


class Heads(BlockHeads):
    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.branches = star(config.n_future)

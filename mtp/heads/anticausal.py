"""Anticausal chain (Appendix B): head i is a layer on top of head i+1, and the next token comes last.

    z_t --> block 1 --> block 2 --> ... --> block n
              |           |                   |
          token t+n   token t+n-1         token t+1

Plain decoding uses all L layers, so nothing can be left out.
"""

from mtp.config import RunConfig
from mtp.heads._blocks import BlockHeads
from mtp.heads._branch import chain

LAYOUT = {"layers_per_head": 1, "detachable": False}


class Heads(BlockHeads):
    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.branches = chain(range(config.n_future - 1, -1, -1))

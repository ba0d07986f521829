"""Replicated unembeddings (Appendix B; the byte-level models, caption of Table S13).

           +-> unembedding 1 -> token t+1
    z_t ---+-> unembedding 2 -> token t+2
           +-> unembedding n -> token t+n

No head layers: the trunk keeps all L layers and each head has an unembedding of its own, so the number
of weights grows by V x dim per head. That is little for bytes (V = 256) and prohibitive for 32k tokens.
"""

from torch import Tensor, nn

from mtp.block import Rope
from mtp.config import RunConfig

LAYERS_PER_HEAD = 0


class Heads(nn.Module):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()

    def forward(self, head: int, z_BTD: Tensor, rope: Rope, **cached: object) -> Tensor:
        """The trunk state itself: z_BTD -> z_BTD."""
        return z_BTD

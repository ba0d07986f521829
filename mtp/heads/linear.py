"""Linear heads (Appendix B): each head is one matrix without a nonlinearity, before the shared unembedding.

           +-> matrix 1 -> token t+1
    z_t ---+-> matrix 2 -> token t+2
           +-> matrix n -> token t+n

The trunk keeps all L layers; a head adds dim^2 weights, a twelfth of a layer.
"""

from torch import Tensor, nn

from mtp.block import Rope
from mtp.config import RunConfig
from mtp.heads._branch import star

LAYOUT = {"layers_per_head": 0, "matrices_per_head": 1}


class Heads(nn.Module):
    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.branches = star(config.n_future)
        self.matrices = nn.ModuleList(nn.Linear(config.dim, config.dim, bias=False) for _ in range(config.n_future))

    def forward(
        self, branch: int, x_BTD: Tensor, rope: Rope, ahead_BTD: Tensor | None, mask: Tensor | None, **cached: object
    ) -> Tensor:
        """State of a head from the trunk state: x_BTD -> h_BTD."""
        return self.matrices[branch](x_BTD)

"""The decoder: a shared trunk, n heads on top, one final norm, unembedding (Section 2).

Shapes: B batch, T positions, S = T + n tokens of a window, D dim, V vocabulary. A suffix names the shape: `logits_BTV`.

    tokens_BT -> embedding -> trunk -> z_BTD -> branches of the heads -> h_BTD -> norm -> unembedding -> logits_BTV

No biases, no dropout, embedding and unembedding untied (footnote 1 of the paper).
"""

import hashlib
import importlib
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtp.block import RMSNorm, Rope
from mtp.cache import KeyValues
from mtp.config import RunConfig
from mtp.documents import attention_bias
from mtp.heads._branch import Branch


class Model(nn.Module):
    """Trunk, heads, shared final norm and unembedding(s) of a run."""

    def __init__(self, config: RunConfig, positions: int | None = None) -> None:
        """`positions`: longest sequence to decode, if longer than the training context."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.rope = Rope(config.dim // config.attention_heads, config.rope_theta, max(positions or 0, config.context))
        self.trunk = importlib.import_module(f"mtp.trunks.{config.trunk}").Trunk(config)
        self.heads = importlib.import_module(f"mtp.heads.{config.heads}").Heads(config)
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.unembeddings = nn.ModuleList(
            nn.Linear(config.dim, config.vocab_size, bias=False) for _ in range(config.unembeddings)
        )
        self.initialise(config.seed)

    def initialise(self, seed: int) -> None:
        """Normal weights; each drawn from (seed, its name), so that arms of an experiment share what they share.

        Matrices have standard deviation dim^-0.5 (embedding too); those that write into the residual stream are
        divided by sqrt(2 L), as in GPT-2. The paper does not state its initialisation.
        """
        for name, weight in self.named_parameters():
            if weight.dim() < 2 or weight.is_meta:
                continue
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
            std = self.config.dim**-0.5
            if name.endswith(("attention.out.weight", "ffn.down.weight")):
                std /= math.sqrt(2 * self.config.layers)
            with torch.no_grad():
                weight.copy_(torch.empty(weight.shape).normal_(0.0, std, generator=generator))

    # ---- trunk ---------------------------------------------------------------------------------------

    def mask(self, tokens_BT: Tensor) -> Tensor | None:
        """Attention bias (B, 1, T, T) that keeps documents apart; None where the plain causal mask will do."""
        return attention_bias(tokens_BT, self.config.separator) if self.config.document_mask else None

    def trunk_states(
        self, tokens_BT: Tensor, mask: Tensor | None = None, caches: list[KeyValues] | None = None, **cached: object
    ) -> Tensor:
        """tokens_BT -> z_BTD, the state that all heads share."""
        z_BTD: Tensor = self.trunk(self.embedding(tokens_BT), self.rope, mask, caches, **cached)
        return z_BTD

    # ---- heads ---------------------------------------------------------------------------------------

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The tree of the heads' states; sources come before what stands on them."""
        found: tuple[Branch, ...] = self.heads.branches
        return found

    def path(self, head: int) -> tuple[int, ...]:
        """Branches from the trunk to the one that `head` (from 0) predicts from."""
        at: int | None = next(i for i, branch in enumerate(self.branches) if head in branch.heads)
        found: list[int] = []
        while at is not None:
            found.append(at)
            at = self.branches[at].source
        return tuple(reversed(found))

    def layers_to_next_token(self) -> list[str]:
        """Names of the layers from the embedding to head 1's norm, in order, without a layout's other parts."""
        blocks = self.config.layout.layers_per_head > 0
        trunk = [f"trunk.{i}" for i in range(len(self.trunk))]
        return trunk + [f"heads.blocks.{branch}" for branch in self.path(0) if blocks]

    def branch(
        self,
        branch: int,
        x_BTD: Tensor,
        window_BS: Tensor | None = None,
        mask: Tensor | None = None,
        constant: bool = False,
        **cached: object,
    ) -> Tensor:
        """State of a branch from the state of its source: x_BTD -> h_BTD.

        `window_BS` holds the inputs and what follows them, for layouts that look at the tokens ahead (no branch on
        the path to head 1 does); `constant` keeps gradients from the embedding of those tokens.
        """
        ahead_BTD = None
        if window_BS is not None and self.config.layout.reads_ahead and branch > 0:
            table = self.embedding.weight.detach() if constant else self.embedding.weight
            ahead_BTD = F.embedding(window_BS[:, branch : branch + x_BTD.shape[1]], table)
        found: Tensor = self.heads(branch, x_BTD, self.rope, ahead_BTD, mask, **cached)
        return found

    def unembedding(self, head: int) -> nn.Parameter:
        """The matrix (V, D) that `head` predicts with."""
        weight: nn.Parameter = self.unembeddings[head if len(self.unembeddings) > 1 else 0].weight  # type: ignore[assignment]
        return weight

    def logits(self, head: int, h_BTD: Tensor) -> Tensor:
        """Logits of the token `head` + 1 places ahead, from the state of its branch: h_BTD -> logits_BTV."""
        return F.linear(self.norm(h_BTD), self.unembedding(head))

    def head_states(self, window_BS: Tensor, T: int) -> Iterator[tuple[int, Tensor]]:
        """(head, h_BTD) for every head over the first T tokens of a window, in the order of the branches."""
        inputs_BT = window_BS[:, :T]
        mask = self.mask(inputs_BT)
        states: dict[int | None, Tensor] = {None: self.trunk_states(inputs_BT, mask)}
        for i, branch in enumerate(self.branches):
            states[i] = self.branch(i, states[branch.source], window_BS, mask)
            for head in branch.heads:
                yield head, states[i]

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Next-token logits: trunk and the path to head 1 only; tokens_BT -> logits_BTV."""
        mask = self.mask(tokens_BT)
        x_BTD = self.trunk_states(tokens_BT, mask)
        for i in self.path(0):
            x_BTD = self.branch(i, x_BTD, mask=mask)
        return self.logits(0, x_BTD)

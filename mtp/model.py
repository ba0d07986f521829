"""The decoder: Llama blocks as a shared trunk, n heads on top, one final norm, unembedding (Section 2).

Shapes: B batch, T positions, D dim, H attention heads, K head width (D = H K), S cached positions,
N n_future, V vocabulary. A suffix names the shape: `logits_BTV`.

    tokens_BT -> embedding -> trunk (L - n blocks) -> z_BTD -> head i -> norm -> unembedding -> logits_BTV

No biases, no dropout, embedding and unembedding untied (footnote 1 of the paper).
"""

import hashlib
import importlib
import math

import torch
from torch import Tensor, nn

from mtp.block import Block, KeyValues, RMSNorm, Rope
from mtp.config import RunConfig


class Model(nn.Module):
    """Trunk, heads, shared final norm and unembedding(s) of a run."""

    def __init__(self, config: RunConfig, positions: int | None = None) -> None:
        """`positions`: longest sequence to decode, if longer than the training context."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.rope = Rope(config.dim // config.attention_heads, config.rope_theta, max(positions or 0, config.context))
        self.trunk = nn.ModuleList(Block(config) for _ in range(config.trunk_layers))
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

    def trunk_states(self, tokens_BT: Tensor, caches: list[KeyValues] | None = None, **cached: object) -> Tensor:
        """tokens_BT -> z_BTD, the state that all heads share."""
        x_BTD = self.embedding(tokens_BT)
        for i, block in enumerate(self.trunk):
            x_BTD = block(x_BTD, self.rope, **({"cache": caches[i], **cached} if caches else {}))
        return x_BTD

    def head_logits(self, head: int, z_BTD: Tensor, **cached: object) -> Tensor:
        """Logits of the token `head` + 1 places ahead: z_BTD -> logits_BTV. `head` counts from 0."""
        return self.unembed(head, self.heads(head, z_BTD, self.rope, **cached))

    def unembed(self, head: int, h_BTD: Tensor) -> Tensor:
        """Shared final norm, then the shared unembedding (or the head's own where they are replicated)."""
        return self.unembeddings[head if len(self.unembeddings) > 1 else 0](self.norm(h_BTD))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Next-token logits: trunk and head 1 only; tokens_BT -> logits_BTV."""
        return self.head_logits(0, self.trunk_states(tokens_BT))

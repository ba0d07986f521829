"""A decoder in the way of gpt-fast, written anew: a static cache of keys and values, and one compiled step for one row.

As there, a step attends to the whole cache under a mask, its position is a tensor, so that one graph serves all steps,
and the loop around it is Python. The prompt is computed eagerly.

Shapes: T new tokens, S cached positions, H attention heads, K head width, D = H K, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtp.block import Block, swiglu
from mtp.model import Model


def turned(x_1THK: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    x1, x2 = x_1THK.chunk(2, dim=-1)
    return x_1THK * cos_TK[:, None] + torch.cat([-x2, x1], dim=-1) * sin_TK[:, None]


class Layer(nn.Module):
    """A block of ours with a cache for one row."""

    def __init__(self, block: Block, heads: int, positions: int) -> None:
        super().__init__()
        self.block, self.heads = block, heads
        width = block.attention.out.in_features // heads
        self.keys: Tensor
        self.values: Tensor
        for name in ("keys", "values"):
            self.register_buffer(name, torch.zeros(1, heads, positions, width), persistent=False)

    def forward(self, x_1TD: Tensor, at_T: Tensor, cos_TK: Tensor, sin_TK: Tensor, seen_TS: Tensor) -> Tensor:
        block, T = self.block, x_1TD.shape[1]
        attention, ffn = block.attention, block.ffn
        q, k, v = attention.qkv(block.attention_norm(x_1TD)).view(1, T, 3, self.heads, -1).unbind(2)
        q, k = turned(q, cos_TK, sin_TK), turned(k, cos_TK, sin_TK)
        self.keys[:, :, at_T] = k.transpose(1, 2)
        self.values[:, :, at_T] = v.transpose(1, 2)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), self.keys, self.values, attn_mask=seen_TS)
        x_1TD = x_1TD + attention.out(mixed.transpose(1, 2).reshape(1, T, -1))
        return x_1TD + swiglu(block.ffn_norm(x_1TD), ffn.gate_up.weight, ffn.down.weight)


class StaticDecoder(nn.Module):
    """Trunk and the path to head 1 of a model of ours, for one row."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        config = model.config
        blocks = [*model.trunk, *(model.heads.blocks[i] for i in model.path(0))]  # type: ignore[union-attr, index]
        self.layers = nn.ModuleList(Layer(block, config.attention_heads, config.context) for block in blocks)
        self.embedding, self.norm, self.unembedding = model.embedding, model.norm, model.unembeddings[0]
        self.cos_SK, self.sin_SK = model.rope.tables(config.context)
        self.seen_SS = torch.ones(config.context, config.context, dtype=torch.bool).tril()

    def forward(self, tokens_1T: Tensor, at_T: Tensor) -> Tensor:
        """logits_1TV of tokens at these positions, which are added to the caches."""
        x_1TD = self.embedding(tokens_1T)
        for layer in self.layers:
            x_1TD = layer(x_1TD, at_T, self.cos_SK[at_T], self.sin_SK[at_T], self.seen_SS[at_T])
        logits_1TV: Tensor = self.unembedding(self.norm(x_1TD))
        return logits_1TV

    def next_token(self, tokens_1T: Tensor, at_T: Tensor) -> Tensor:
        """The most probable next token (1, 1)."""
        return self(tokens_1T, at_T)[:, -1:].argmax(-1)

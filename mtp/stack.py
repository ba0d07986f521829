"""Blocks on one state that nothing stands on, decoded side by side: the further heads, which draft.

Of their answers only the one behind the last accepted token is wanted, so that queries and all that follows them are
computed at one position of each row; keys and values at all. Every product is one batched product over stacked weights.

Shapes: J blocks, B rows, T new tokens of each, R = B T, D dim, H attention heads, K head width, D = H K, E = 2 D,
F ffn_dim, G = 2 F.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mtp.block import Block, rms_norm_of_few
from mtp.cache import KeyValues, Places, Seen, slots, store, turned


class Stack:
    """J blocks as one, with copies of their weights: input features before output features."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        def stacked(weights: Sequence[Tensor]) -> Tensor:
            return torch.stack([weight.mT for weight in weights])

        qkv = [block.attention.qkv.weight.split(block.attention.out.in_features) for block in blocks]
        self.query_JDD = stacked([query for query, _, _ in qkv])
        self.kv_JDE = stacked([torch.cat([key, value]) for _, key, value in qkv])
        self.out_JDD = stacked([block.attention.out.weight for block in blocks])
        self.gate_up_JDG = stacked([block.ffn.gate_up.weight for block in blocks])
        self.down_JFD = stacked([block.ffn.down.weight for block in blocks])
        self.attention_norm_J1D, self.ffn_norm_J1D = (
            torch.stack([weight[None] for weight in weights])
            for weights in zip(*((block.attention_norm.weight, block.ffn_norm.weight) for block in blocks), strict=True)
        )
        self.one_D = torch.ones_like(self.ffn_norm_J1D[0, 0])
        self.eps = blocks[0].ffn_norm.eps

    def decode(self, x_BTD: Tensor, cache: KeyValues, places: Places, at_B: Tensor) -> Tensor:
        """Add T new tokens of each row to the caches, and answer those `at_B`: -> h_JBD."""
        B, T, D = x_BTD.shape
        rows_B = torch.arange(B, device=x_BTD.device)
        J, H, K = len(self.query_JDD), places.H, places.K
        normed_BTD = rms_norm_of_few(x_BTD, self.one_D, self.eps)
        kv_JRE = torch.bmm(normed_BTD.view(1, -1, D) * self.attention_norm_J1D, self.kv_JDE)
        kv_JBT2HK = turned(kv_JRE.view(J, B, T, 2, H, K), places.cos_BT31K[:, :, 1:], places.sin_BT31K[:, :, 1:])
        store(cache, slots(cache, places.positions_BT), kv_JBT2HK)

        q_JBD = torch.bmm(normed_BTD[rows_B, at_B] * self.attention_norm_J1D, self.query_JDD)
        cos_B11K, sin_B11K = (table_BT31K[rows_B, at_B][:, :1] for table_BT31K in (places.cos_BT31K, places.sin_BT31K))
        q_JB1HK = turned(q_JBD.view(J, B, 1, H, K), cos_B11K, sin_B11K)
        seen = Seen(places.bias_BTS[rows_B, at_B][:, None], H, J)
        mixed_JBD = seen.attend(q_JB1HK.view(J * B, H, 1, K), cache).view(J, B, D)

        h_JBD = x_BTD[rows_B, at_B] + torch.bmm(mixed_JBD, self.out_JDD)
        normed_JBD = rms_norm_of_few(h_JBD, self.one_D, self.eps) * self.ffn_norm_J1D
        gate_JBF, up_JBF = torch.bmm(normed_JBD, self.gate_up_JDG).chunk(2, -1)
        return h_JBD + torch.bmm(F.silu(gate_JBF) * up_JBF, self.down_JFD)

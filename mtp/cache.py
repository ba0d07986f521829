"""Decoding with cached keys and values: rows that stand at positions of their own, and what they attend to.

Shapes: B rows, T new tokens of each, S cached positions, H attention heads, K head width, D = H K, E = 3 D, J blocks
side by side, N = J B H, M places in a cache of one dimension; a suffix names the shape. A row may hold anything beyond
its last token: nothing sees it, and what comes next is written over it.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 8
"""Queries of a row at once that count as few."""


@dataclasses.dataclass
class KeyValues:
    """Preallocated keys, then values, of J blocks for B rows of at most S positions."""

    both_2JBHSK: Tensor


class Seen:
    """What queries of J blocks may see of the cached positions, as a bias on their scores."""

    def __init__(self, bias_BTS: Tensor, heads: int, blocks: int = 1) -> None:
        B, T, S = bias_BTS.shape
        self.few = bias_BTS.device.type == "cpu" and T <= FEW
        """Plain products are then 1.3 to 1.7 times as fast as the fused kernel."""
        bias_JBHTS = bias_BTS[:, None].expand(blocks, B, heads, T, S)
        self.bias = bias_JBHTS.reshape(-1, T, S) if self.few else bias_JBHTS.flatten(0, 1)

    def attend(self, q_BHTK: Tensor, cache: KeyValues) -> Tensor:
        """Mixed values of the queries, where B counts the rows of all blocks: -> mixed_BHTK."""
        _, _, T, K = q_BHTK.shape
        both_2BHSK = cache.both_2JBHSK.flatten(1, 2).narrow(3, 0, self.bias.shape[-1])
        if not self.few:
            keys_BHSK, values_BHSK = both_2BHSK.unbind(0)
            return F.scaled_dot_product_attention(q_BHTK, keys_BHSK, values_BHSK, attn_mask=self.bias)
        keys_NSK, values_NSK = both_2BHSK.flatten(1, 2).unbind(0)
        scores_NTS = torch.baddbmm(self.bias, q_BHTK.reshape(-1, T, K), keys_NSK.mT, alpha=K**-0.5)
        return torch.bmm(torch.softmax(scores_NTS, -1, out=scores_NTS), values_NSK).view(q_BHTK.shape)


def tables(cos_SK: Tensor, sin_SK: Tensor) -> tuple[Tensor, Tensor]:
    """Tables that turn queries and keys and leave values as they are: cos_S31K, and sin_S31K with its signs.

    A vector of halves x1, x2 turns into (x1, x2) cos + (x2, x1) (-sin, sin).
    """
    half = sin_SK.shape[1] // 2
    signed_SK = torch.cat([-sin_SK[:, :half], sin_SK[:, half:]], 1)
    cos_S3K = torch.stack([cos_SK, cos_SK, torch.ones_like(cos_SK)], 1)
    sin_S3K = torch.stack([signed_SK, signed_SK, torch.zeros_like(sin_SK)], 1)
    return cos_S3K[:, :, None], sin_S3K[:, :, None]


class Places:
    """Where the new tokens of a step stand: what all layers need to know of it, made once."""

    def __init__(self, positions_BT: Tensor, reach: int, cache: KeyValues, cos_S31K: Tensor, sin_S31K: Tensor) -> None:
        """
        Args:
            positions_BT: of the new tokens; each sees its row up to its own position.
            reach: more than any of them; bounds what is read.
            cache: any of the step's caches; they are all alike.
            cos_S31K, sin_S31K: of the rotary embedding (`tables`).
        """
        like, device = cache.both_2JBHSK, positions_BT.device
        _, _, _, self.H, _, self.K = like.shape
        self.positions_BT = positions_BT
        self.cos_BT31K, self.sin_BT31K = (table[positions_BT].to(like.dtype) for table in (cos_S31K, sin_S31K))
        self.slots_M = slots(cache, positions_BT)
        hidden_BTS = torch.arange(reach, device=device) > positions_BT[:, :, None]
        self.bias_BTS = torch.zeros(hidden_BTS.shape, dtype=like.dtype, device=device)
        self.bias_BTS.masked_fill_(hidden_BTS, -math.inf)
        self.seen = Seen(self.bias_BTS, self.H)

    def attend(self, qkv_BTE: Tensor, cache: KeyValues) -> Tensor:
        """Turn the new queries and keys, store keys and values, attend: qkv_BTE -> mixed_BTD."""
        B, T, _ = qkv_BTE.shape
        qkv_BT3HK = turned(qkv_BTE.view(B, T, 3, self.H, self.K), self.cos_BT31K, self.sin_BT31K)
        store(cache, self.slots_M, qkv_BT3HK.narrow(2, 1, 2))
        mixed_BHTK = self.seen.attend(qkv_BT3HK.select(2, 0).transpose(1, 2), cache)
        return mixed_BHTK.transpose(1, 2).reshape(B, T, -1)


def slots(cache: KeyValues, positions_BT: Tensor) -> Tensor:
    """Where keys and values of new tokens go, in a cache of one dimension: for (J, B, T, 2, H) in this order."""
    kinds, J, B, H, S, _ = cache.both_2JBHSK.shape
    first_JB12H = torch.arange(0, kinds * J * B * H * S, S, device=positions_BT.device).view(kinds, J, B, 1, H)
    return (first_JB12H.permute(1, 2, 3, 0, 4) + positions_BT[:, :, None, None]).flatten()


def store(cache: KeyValues, slots_M: Tensor, kv_JBT2HK: Tensor) -> None:
    """Write the keys and values of new tokens."""
    K = kv_JBT2HK.shape[-1]
    cache.both_2JBHSK.view(-1, K).index_copy_(0, slots_M, kv_JBT2HK.reshape(-1, K))


def turned(x_BTCHK: Tensor, cos_BTC1K: Tensor, sin_BTC1K: Tensor) -> Tensor:
    """Queries, keys, values, or C of them, at their positions."""
    return (x_BTCHK * cos_BTC1K).addcmul_(x_BTCHK.roll(x_BTCHK.shape[-1] // 2, -1), sin_BTC1K)

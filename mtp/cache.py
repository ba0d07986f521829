"""Decoding with cached keys and values: rows that stand at positions of their own, and what they attend to.

Shapes: B rows, T new tokens of each, S cached positions, H attention heads, K head width, N = B H; a suffix names the
shape. A row may hold anything beyond its last token: nothing sees it, and what comes next is written over it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtp.attention import turn

FEW = 8
"""Queries of a row at once that count as few."""


class KeyValues:
    """Preallocated keys and values of one block for B rows of at most S positions."""

    def __init__(self, rows: int, heads: int, positions: int, width: int, like: Tensor) -> None:
        self.keys_BHSK = like.new_zeros(rows, heads, positions, width)
        self.values_BHSK = like.new_zeros(rows, heads, positions, width)


class Seen:
    """What queries may see of the cached positions, as a bias on their scores."""

    def __init__(self, bias_BTS: Tensor, heads: int) -> None:
        self.bias_BTS = bias_BTS
        self.bias_NTS: Tensor | None = None
        """For every head, where plain products are used: on a CPU they are 1.3 to 1.7 times as fast as the fused kernel
        for few queries."""
        if bias_BTS.device.type == "cpu" and bias_BTS.shape[1] <= FEW:
            self.bias_NTS = bias_BTS[:, None].expand(-1, heads, -1, -1).flatten(0, 1)

    def attend(self, q_BHTK: Tensor, keys_BHSK: Tensor, values_BHSK: Tensor) -> Tensor:
        """Mixed values of the queries: -> mixed_BHTK."""
        if self.bias_NTS is None:
            return F.scaled_dot_product_attention(q_BHTK, keys_BHSK, values_BHSK, attn_mask=self.bias_BTS[:, None])
        _, _, T, K = q_BHTK.shape
        scores_NTS = torch.baddbmm(self.bias_NTS, q_BHTK.reshape(-1, T, K), keys_BHSK.flatten(0, 1).mT, alpha=K**-0.5)
        torch.softmax(scores_NTS, -1, out=scores_NTS)
        return torch.bmm(scores_NTS, values_BHSK.flatten(0, 1)).view(q_BHTK.shape)


class Places:
    """Where the new tokens of a step stand: what all layers need to know of it, made once."""

    def __init__(self, positions_BT: Tensor, reach: int, cache: KeyValues, cos_SK: Tensor, sin_SK: Tensor) -> None:
        """
        Args:
            positions_BT: of the new tokens; each sees its row up to its own position.
            reach: more than any of them; bounds what is read.
            cache: any of the step's caches; they are all alike.
            cos_SK, sin_SK: of the rotary embedding.
        """
        like, device = cache.keys_BHSK, positions_BT.device
        B, H, S, _ = like.shape
        self.reach, self.heads = reach, H
        self.rows_B = torch.arange(B, device=device)
        self.cos_BT11K, self.sin_BT11K = (
            table[positions_BT][:, :, None, None].to(like.dtype) for table in (cos_SK, sin_SK)
        )
        first_BH = torch.arange(B * H, device=device).view(B, 1, H) * S
        self.slots_M = (first_BH + positions_BT[:, :, None]).flatten()
        """Where every head of every new token goes, in a cache of rows, heads and positions in one dimension."""
        hidden_BTS = torch.arange(reach, device=device) > positions_BT[:, :, None]
        bias_BTS = torch.zeros(hidden_BTS.shape, dtype=like.dtype, device=device).masked_fill_(hidden_BTS, -math.inf)
        self.seen = Seen(bias_BTS, H)
        self.at_B: Tensor | None = None
        self.seen_there = self.seen

    def only(self, at_B: Tensor) -> None:
        """Choose the one query of each row that `attend` answers if asked for one; all heads ask for the same."""
        self.at_B = at_B
        self.seen_there = Seen(self.there(self.seen.bias_BTS), self.heads)

    def attend(self, qkv_BT3HK: Tensor, cache: KeyValues, one: bool = False) -> Tensor:
        """Turn the new queries and keys, store keys and values, attend: qkv_BT3HK -> mixed_BTD.

        With `one`, only the chosen query of each row is answered: -> mixed_B1D.
        """
        K = qkv_BT3HK.shape[4]
        turned_BT2HK = torch.empty_like(qkv_BT3HK[:, :, :2])
        turn(qkv_BT3HK[:, :, :2], self.cos_BT11K, self.sin_BT11K, turned_BT2HK)
        cache.keys_BHSK.view(-1, K).index_copy_(0, self.slots_M, turned_BT2HK[:, :, 1].reshape(-1, K))
        cache.values_BHSK.view(-1, K).index_copy_(0, self.slots_M, qkv_BT3HK[:, :, 2].reshape(-1, K))
        q_BTHK = self.there(turned_BT2HK[:, :, 0]) if one else turned_BT2HK[:, :, 0]
        seen = self.seen_there if one else self.seen
        mixed_BHTK = seen.attend(
            q_BTHK.transpose(1, 2), cache.keys_BHSK[:, :, : self.reach], cache.values_BHSK[:, :, : self.reach]
        )
        return mixed_BHTK.transpose(1, 2).flatten(2)

    def there(self, x_BTX: Tensor) -> Tensor:
        """The chosen one of each row's T new tokens: -> (B, 1, ...)."""
        return x_BTX[self.rows_B, self.at_B][:, None]

"""One Llama layer: RMSNorm, rotary attention, SwiGLU. Trunk layers and transformer heads are made of it.

Shapes: B batch, T positions, D dim, H attention heads, K head width (D = H K), S cached positions. A suffix
names the shape: `x_BTD`. No biases, no dropout.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtp.config import RunConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight, over the last dimension."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        return F.rms_norm(x_BTD, self.weight.shape, self.weight, self.eps)


class Rope(nn.Module):
    """Rotary position embedding (Su et al., 2021): feature k turns together with feature k + K/2."""

    def __init__(self, head_width: int, theta: float, positions: int) -> None:
        super().__init__()
        frequency = theta ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
        angle = torch.arange(positions, dtype=torch.float64)[:, None] * frequency
        angle = torch.cat([angle, angle], dim=-1)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def forward(self, x_BHTK: Tensor, positions_BT: Tensor | None) -> Tensor:
        """Turn queries or keys; `positions_BT` None means 0, 1, ..., T-1."""
        if positions_BT is None:
            T = x_BHTK.shape[-2]
            cos, sin = self.get_buffer("cos")[:T], self.get_buffer("sin")[:T]
        else:
            cos, sin = (
                self.get_buffer("cos")[positions_BT][:, None],
                self.get_buffer("sin")[positions_BT][:, None],
            )
        half = x_BHTK.shape[-1] // 2
        turned = torch.cat([-x_BHTK[..., half:], x_BHTK[..., :half]], dim=-1)
        return x_BHTK * cos.to(x_BHTK.dtype) + turned * sin.to(x_BHTK.dtype)


class KeyValues:
    """Preallocated keys and values of one block for B rows of at most S positions."""

    def __init__(self, rows: int, heads: int, positions: int, width: int, like: Tensor) -> None:
        self.keys_BHSK = like.new_zeros(rows, heads, positions, width)
        self.values_BHSK = like.new_zeros(rows, heads, positions, width)

    def write(self, rows_B: Tensor | None, positions_BT: Tensor, keys_BHTK: Tensor, values_BHTK: Tensor) -> None:
        """Store at each row's own positions (rows may be at different lengths); `rows_B` None: all rows, in order."""
        rows_B = torch.arange(len(positions_BT), device=positions_BT.device) if rows_B is None else rows_B
        where = (rows_B[:, None], slice(None), positions_BT)
        self.keys_BHSK[where] = keys_BHTK.transpose(1, 2)
        self.values_BHSK[where] = values_BHTK.transpose(1, 2)

    def read(self, rows_B: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
        """Keys and values of the first `reach` positions; a view where `rows_B` is None, else a copy."""
        if rows_B is None:
            return self.keys_BHSK[:, :, :reach], self.values_BHSK[:, :, :reach]
        return self.keys_BHSK[rows_B, :, :reach], self.values_BHSK[rows_B, :, :reach]


SHORT = 256
"""Up to this many positions, on a CPU, three plain products beat the fused kernel (1.6 times a training step)."""


@functools.cache
def _causal_bias(T: int, dtype: torch.dtype) -> Tensor:
    return torch.full((1, T, T), -math.inf, dtype=dtype).triu(1)


def causal_attention(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor) -> Tensor:
    """softmax(q k' / sqrt(K) + causal mask) v over whole windows; all arguments and the result are BHTK."""
    B, H, T, K = q_BHTK.shape
    if q_BHTK.device.type != "cpu" or T > SHORT:
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
    q, k, v = (x.reshape(B * H, T, K) for x in (q_BHTK, k_BHTK, v_BHTK))
    scores = torch.baddbmm(_causal_bias(T, q.dtype), q, k.transpose(1, 2), alpha=K**-0.5)
    return torch.bmm(scores.softmax(-1), v).view(B, H, T, K)


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        rope: Rope,
        mask: Tensor | None = None,
        cache: KeyValues | None = None,
        rows_B: Tensor | None = None,
        positions_BT: Tensor | None = None,
        reach: int = 0,
    ) -> Tensor:
        """Without a cache: all positions of a window at once. With one: `x_BTD` stands at `positions_BT` of the
        cache rows `rows_B` and sees what those rows hold up to its own position; `reach` bounds the positions read."""
        B, T, D = x_BTD.shape
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x_BTD).chunk(3, dim=-1))
        q, k = rope(q, positions_BT), rope(k, positions_BT)
        if cache is None and mask is not None:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        elif cache is None:
            mixed = causal_attention(q, k, v)
        else:
            assert positions_BT is not None
            cache.write(rows_B, positions_BT, k, v)
            seen_B1TS = (torch.arange(reach, device=x_BTD.device) <= positions_BT[:, :, None])[:, None]
            mixed = F.scaled_dot_product_attention(q, *cache.read(rows_B, reach), attn_mask=seen_B1TS)
        return self.out(mixed.transpose(1, 2).reshape(B, T, D))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate, up = self.gate_up(x_BTD).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """One pre-norm transformer layer; trunk layers and transformer heads are the same thing."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn = SwiGLU(config)

    def forward(self, x_BTD: Tensor, rope: Rope, mask: Tensor | None = None, **cached: object) -> Tensor:
        """x_BTD -> x_BTD; `mask` and `cached` go to `Attention`."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), rope, mask, **cached)
        return x_BTD + self.ffn(self.ffn_norm(x_BTD))

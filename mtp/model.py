"""The decoder: Llama blocks as a shared trunk, n heads on top, one final norm, unembedding (Section 2).

Shapes: B batch, T positions, D dim, H attention heads, K head width (D = H K), S cached positions,
N n_future, V vocabulary. A suffix names the shape: `logits_BTV`.

    tokens_BT -> embedding -> trunk (L - n blocks) -> z_BTD -> head i -> norm -> unembedding -> logits_BTV

No biases, no dropout, embedding and unembedding untied (footnote 1 of the paper).
"""

import functools
import hashlib
import importlib
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
        if cache is None:
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

    def forward(self, x_BTD: Tensor, rope: Rope, **cached: object) -> Tensor:
        """x_BTD -> x_BTD; `cached` goes to `Attention`."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), rope, **cached)
        return x_BTD + self.ffn(self.ffn_norm(x_BTD))


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

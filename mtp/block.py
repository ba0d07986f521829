"""One Llama layer: RMSNorm, rotary attention, SwiGLU. Trunk layers and transformer heads are made of it.

Shapes: B batch, T positions, D dim, H attention heads, K head width (D = H K), S cached positions, N = B H, E = 3 D,
F ffn_dim, G = 2 F. A suffix names the shape: `x_BTD`. No biases, no dropout.

A layer over whole windows is three functions of tensors, so that `torch.compile` needs one graph for the outer two,
shared by all layers, and attention stays the library's products and softmax, which the compiler does worse:

    x_BTD -> before_attention (norm, qkv, rotation) -> attend -> after_attention (projection, norm, SwiGLU) -> x_BTD
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtp.attention import attend, rotate
from mtp.cache import FEW, KeyValues, Places
from mtp.config import RunConfig
from mtp.elementwise import rms_norm
from mtp.errors import UserError


class RMSNorm(nn.Module):
    """x / rms(x) * weight, over the last dimension."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        return rms_norm(x_BTD, self.weight, self.eps)


class Rope(nn.Module):
    """Rotary position embedding (Su et al., 2021): feature k turns together with feature k + K/2."""

    def __init__(self, head_width: int, theta: float, positions: int) -> None:
        super().__init__()
        # On the CPU also in a model without memory (mtp/weights.py): no file brings these numbers.
        exact: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
        frequency = theta ** (-torch.arange(0, head_width, 2, **exact) / head_width)
        angle = torch.arange(positions, **exact)[:, None] * frequency
        angle = torch.cat([angle, angle], dim=-1)
        self.register_buffer("cos", angle.cos().float(), persistent=False)
        self.register_buffer("sin", angle.sin().float(), persistent=False)

    def tables(self, T: int) -> tuple[Tensor, Tensor]:
        """cos_TK and sin_TK of positions 0, 1, ..., T-1."""
        return self.get_buffer("cos")[:T], self.get_buffer("sin")[:T]


class Attention(nn.Module):
    """Weights of causal multi-head self-attention."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.heads = config.attention_heads
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)


class SwiGLU(nn.Module):
    """Weights of down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=False)


@functools.cache
def constant(value: float, dtype: torch.dtype) -> Tensor:
    """A number as a tensor on the CPU, made once."""
    return torch.tensor(value, dtype=dtype)


def rms_norm_of_few(x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """RMSNorm in a third of the kernels for few positions on a CPU: a step of few rows is bound by their number.

    Not under autocast, which would round the product, and not where the compiler makes one kernel of it.
    """
    few = x_BTD.device.type == "cpu" and x_BTD.shape[-2] <= FEW
    if not few or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return rms_norm(x_BTD, weight_D, eps)
    D = x_BTD.shape[-1]
    x_R1D = x_BTD.reshape(-1, 1, D)
    square_R11 = torch.baddbmm(constant(eps, x_BTD.dtype), x_R1D, x_R1D.mT, alpha=1 / D)
    return (x_R1D * square_R11.rsqrt_()).mul_(weight_D).view(x_BTD.shape)


def swiglu(x_BTD: Tensor, gate_up_GD: Tensor, down_DF: Tensor) -> Tensor:
    """The first half of `gate_up_GD` is the gate's."""
    gate_BTF, up_BTF = F.linear(x_BTD, gate_up_GD).chunk(2, dim=-1)
    return F.linear(F.silu(gate_BTF) * up_BTF, down_DF)


def before_attention(
    x_BTD: Tensor, norm_D: Tensor, qkv_ED: Tensor, eps: float, cos_TK: Tensor, sin_TK: Tensor, heads: int
) -> Tensor:
    """Norm, projection and rotation: x_BTD -> qkv_3NTK."""
    return rotate(F.linear(rms_norm(x_BTD, norm_D, eps), qkv_ED), cos_TK, sin_TK, heads)


def after_attention(
    x_BTD: Tensor, mixed_BTD: Tensor, out_DD: Tensor, norm_D: Tensor, gate_up_GD: Tensor, down_DF: Tensor, eps: float
) -> Tensor:
    """What is left of the layer, with both residual connections: x_BTD, mixed_BTD -> x_BTD."""
    x_BTD = x_BTD + F.linear(mixed_BTD, out_DD)
    return x_BTD + swiglu(rms_norm(x_BTD, norm_D, eps), gate_up_GD, down_DF)


@functools.cache
def compiled(part: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The part through `torch.compile`.

    Raises (when called):
        UserError: it could not be compiled.
    """
    fast = torch.compile(part, dynamic=False)

    def call(*arguments: Any) -> Tensor:
        try:
            return fast(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"compile: {reason}; torch.compile needs a C++ compiler, or set compile: false") from None

    return call


class Block(nn.Module):
    """One pre-norm transformer layer; trunk layers and transformer heads are the same thing."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.compiles = config.compile
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn = SwiGLU(config)

    def forward(self, x_BTD: Tensor, rope: Rope, mask: Tensor | None = None, **cached: Any) -> Tensor:
        """x_BTD -> x_BTD, over whole windows, or with `cached` (see `decode`) over what follows a cache.

        `mask` is an additive bias (B, 1, T, T) that contains causality; None is the plain causal mask.
        """
        if cached:
            return self.decode(x_BTD, **cached)
        before, after = before_attention, after_attention
        if self.compiles and torch.is_grad_enabled():  # scoring has other shapes: a graph each would not pay
            before, after = compiled(before), compiled(after)
        attention, ffn, heads = self.attention, self.ffn, self.attention.heads
        norm, eps = self.attention_norm.weight, self.attention_norm.eps
        qkv_3NTK = before(x_BTD, norm, attention.qkv.weight, eps, *rope.tables(x_BTD.shape[1]), heads)
        mixed_BTD = attend(qkv_3NTK, heads, mask)
        weights = attention.out.weight, self.ffn_norm.weight, ffn.gate_up.weight, ffn.down.weight
        return after(x_BTD, mixed_BTD, *weights, eps)

    def decode(self, x_BTD: Tensor, cache: KeyValues, places: Places) -> Tensor:
        """The tokens at `places` see what the cache's rows hold up to their own positions: x_BTD -> x_BTD."""
        attention, ffn, eps = self.attention, self.ffn, self.ffn_norm.eps
        qkv_BTE = F.linear(rms_norm_of_few(x_BTD, self.attention_norm.weight, eps), attention.qkv.weight)
        x_BTD = x_BTD + F.linear(places.attend(qkv_BTE, cache), attention.out.weight)
        return x_BTD + swiglu(rms_norm_of_few(x_BTD, self.ffn_norm.weight, eps), ffn.gate_up.weight, ffn.down.weight)

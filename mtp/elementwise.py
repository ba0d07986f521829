"""RMSNorm and SwiGLU's product with gradients written by hand: fewer passes over memory than autograd makes.

Inside `torch.compile` they are left to the compiler, which fuses their plain form with what stands around them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        norm_BT1 = torch.linalg.vector_norm(x_BTD, dim=-1, keepdim=True)
        inverse_BT1 = norm_BT1.square_().mul_(1 / x_BTD.shape[-1]).add_(eps).rsqrt_()
        normed_BTD = x_BTD * inverse_BT1
        ctx.save_for_backward(normed_BTD, inverse_BT1, weight_D)
        return normed_BTD * weight_D

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTD: Tensor) -> tuple[Tensor | None, ...]:
        # y = w n, n = x / rms(x):  dx = (w g - n mean(w g n)) / rms(x),  dw = sum of g n over the positions
        normed_BTD, inverse_BT1, weight_D = ctx.saved_tensors
        product_RD = (grad_BTD * normed_BTD).flatten(0, -2)
        mean_BT1 = torch.mv(product_RD, weight_D).view_as(inverse_BT1).mul_(-1 / len(weight_D))
        grad_x_BTD = (grad_BTD * weight_D).addcmul_(normed_BTD, mean_BT1).mul_(inverse_BT1)
        return grad_x_BTD, product_RD.sum(0) if ctx.needs_input_grad[1] else None, None


def rms_norm(x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension; equal to `torch.nn.functional.rms_norm`."""
    if torch.compiler.is_compiling() or x_BTD.device.type != "cpu":  # GPUs have a kernel for it
        return F.rms_norm(x_BTD, weight_D.shape, weight_D, eps)
    y_BTD: Tensor = _RMSNorm.apply(x_BTD, weight_D, eps)  # type: ignore[no-untyped-call]
    return y_BTD


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_up_BTG: Tensor) -> Tensor:
        gate_BTF, up_BTF = gate_up_BTG.chunk(2, dim=-1)
        active_BTF = F.silu(gate_BTF)
        ctx.save_for_backward(gate_up_BTG, active_BTF)
        return active_BTF * up_BTF

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BTF: Tensor) -> Tensor:
        gate_up_BTG, active_BTF = ctx.saved_tensors
        gate_BTF, up_BTF = gate_up_BTG.chunk(2, dim=-1)
        grad_BTG = torch.empty_like(gate_up_BTG)
        grad_gate_BTF, grad_up_BTF = grad_BTG.chunk(2, dim=-1)
        torch.mul(grad_BTF, active_BTF, out=grad_up_BTF)
        torch.mul(grad_BTF, up_BTF, out=grad_gate_BTF)
        torch.ops.aten.silu_backward.grad_input(grad_gate_BTF, gate_BTF, grad_input=grad_gate_BTF)
        return grad_BTG


def swiglu(gate_up_BTG: Tensor) -> Tensor:
    """silu(gate) * up, where the last dimension holds first all gates, then all ups (G = 2 F)."""
    if torch.compiler.is_compiling():
        gate_BTF, up_BTF = gate_up_BTG.chunk(2, dim=-1)
        return F.silu(gate_BTF) * up_BTF
    y_BTF: Tensor = _SwiGLU.apply(gate_up_BTG)  # type: ignore[no-untyped-call]
    return y_BTF

"""Llama written down plainly from its two published forms, to check exported weights without their programs.

Meta's form turns neighbouring features as complex numbers, Hugging Face's turns feature k with feature k + K/2.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def rms(x_BTD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    return x_BTD * (x_BTD.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weight_D


def rotated(x_BHTK: Tensor, theta: float, complex_pairs: bool) -> Tensor:
    T, K = x_BHTK.shape[-2:]
    angle_TP = torch.arange(T)[:, None] * theta ** (-torch.arange(0, K, 2) / K)
    if complex_pairs:
        pairs = torch.view_as_complex(x_BHTK.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle_TP), angle_TP)).flatten(-2)
    first, second = x_BHTK.chunk(2, -1)
    cos, sin = angle_TP.cos().repeat(1, 2), angle_TP.sin().repeat(1, 2)
    return x_BHTK * cos + torch.cat([-second, first], -1) * sin


def block(x_BTD: Tensor, w: Mapping[str, Tensor], heads: int, theta: float, eps: float, complex_pairs: bool) -> Tensor:
    """One layer with Llama's names: wq, wk, wv, wo, w1, w2, w3, attention_norm, ffn_norm."""
    normed = rms(x_BTD, w["attention_norm"], eps)
    q, k, v = ((normed @ w[name].T).unflatten(-1, (heads, -1)).transpose(1, 2) for name in ("wq", "wk", "wv"))
    q, k = rotated(q, theta, complex_pairs), rotated(k, theta, complex_pairs)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
    x_BTD = x_BTD + mixed.transpose(1, 2).flatten(2) @ w["wo"].T
    normed = rms(x_BTD, w["ffn_norm"], eps)
    return x_BTD + (torch.nn.functional.silu(normed @ w["w1"].T) * (normed @ w["w3"].T)) @ w["w2"].T

"""How tokens are drawn from logits, and the random numbers behind them.

The t-th token of a sample uses the t-th numbers of a Philox stream keyed by (seed, problem, sample), so a sample
depends neither on the batch size nor on its neighbours, up to float32 rounding in the model.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Draw from the most probable tokens that together have at least this probability (ties are all kept)."""
    max_tokens: int = 256
    stops: tuple[str, ...] = ()
    """The completion ends before the first of these; the prompt is not searched."""
    seed: int = 0


def uniforms(sampling: Sampling, problem: int, sample: int) -> np.ndarray:
    """The numbers in [0, 1) behind one sample, (3, max_tokens).

    Per token one to draw it, one to draw its draft, and one to accept the draft. Plain decoding uses the first row.
    """
    stream = np.random.Philox(key=np.array([sampling.seed, (problem << 32) | sample], dtype=np.uint64))
    return np.random.Generator(stream).random((3, sampling.max_tokens))


def _descending(p_BV: Tensor) -> Tensor:
    """Values sorted, largest first. On a CPU by numpy, ten times faster than torch, which also sorts indices."""
    if p_BV.device.type == "cpu":
        return torch.from_numpy(np.sort(p_BV.numpy(), axis=-1)).flip(-1)
    return p_BV.sort(-1, descending=True).values


def nucleus(logits_BV: Tensor, temperature: float, top_p: float) -> Tensor:
    """Probabilities at a positive temperature, zero outside the nucleus (and not normalised after that)."""
    p_BV = (logits_BV.float() / temperature).softmax(-1)
    if top_p < 1:
        sorted_BV = _descending(p_BV)
        mass_BV = sorted_BV.cumsum(-1, dtype=torch.float64)
        last_B1 = torch.searchsorted(mass_BV, mass_BV.new_full((len(p_BV), 1), top_p))
        least_B1 = sorted_BV.gather(-1, last_B1.clamp_(max=p_BV.shape[-1] - 1))
        p_BV = p_BV * torch.ge(p_BV, least_B1, out=torch.empty_like(p_BV))  # as numbers: ten times as fast as truths
    return p_BV


def invert(p_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Token of each row by inversion of its cumulative distribution, in the order of the vocabulary."""
    cumulative_BV = p_BV.cumsum(-1, dtype=torch.float64)
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total, or rounding could select a token after the last one that is kept.
    target_B1 = torch.minimum(uniform_B[:, None] * total_B1, torch.nextafter(total_B1, torch.zeros_like(total_B1)))
    return torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0]


def draw(logits_BV: Tensor, uniform_B: Tensor, temperature: float, top_p: float) -> Tensor:
    """Token of each row; the most probable one at temperature 0."""
    return logits_BV.argmax(-1) if temperature == 0 else invert(nucleus(logits_BV, temperature, top_p), uniform_B)

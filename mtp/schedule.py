"""What changes over a training run: the learning rate and the weights of the heads."""

import math

from mtp.config import RunConfig


def learning_rate(config: RunConfig, step: int) -> float:
    """Rate of step `step` (from 0): linear warm-up to the peak, then cosine to `decay_ratio` times the peak (S13)."""
    if step < config.warmup_steps:
        return config.peak_lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    floor = config.decay_ratio
    return config.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def head_weights(config: RunConfig, step: int) -> list[float]:
    """Weights of the n losses at step `step` (from 0); a head of weight 0 is not computed at all.

    With n = 4, `add` trains heads 1, 1-2, 1-3, 1-4 for a quarter of the steps each, and `drop` the other way round;
    `fade_in` and `fade_out` move the weights of heads 2..n linearly between 0 and their own.
    """
    n, done = config.n_future, step / config.steps
    phase = int(done * n)
    factors = {
        "constant": [1.0] * n,
        "add": [float(head <= phase) for head in range(n)],
        "drop": [float(head < n - phase) for head in range(n)],
        "fade_in": [1.0] + [done] * (n - 1),
        "fade_out": [1.0] + [1 - done] * (n - 1),
    }[config.head_schedule]
    return [weight * factor for weight, factor in zip(config.weights_of_heads, factors, strict=True)]

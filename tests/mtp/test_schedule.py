"""What changes over a run: learning rate and weights of the heads."""

import math

import pytest

from mtp.schedule import head_weights, learning_rate
from tests.conftest import tiny


def test_learning_rate() -> None:
    config = tiny(steps=12, warmup_steps=2, peak_lr=1e-2, decay_ratio=0.1)
    rates = [learning_rate(config, step) for step in range(12)]
    assert rates[:3] == [0.5e-2, 1e-2, 1e-2]
    assert rates[7] == pytest.approx(1e-2 * (0.1 + 0.9 * 0.5)), "half way: half between peak and floor"
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] > 1e-3
    assert learning_rate(config, 12) == pytest.approx(1e-3)


def weights(schedule: str, steps: int = 8, **more: object) -> list[list[float]]:
    config = tiny(n_future=2, steps=steps, warmup_steps=0, head_schedule=schedule, **more)
    return [head_weights(config, step) for step in range(steps)]


def test_heads_are_added_and_dropped_in_equal_phases() -> None:
    assert weights("constant") == [[1, 1]] * 8
    assert weights("add") == [[1, 0]] * 4 + [[1, 1]] * 4
    assert weights("drop") == [[1, 1]] * 4 + [[1, 0]] * 4


def test_fades_are_linear_and_leave_head_1_alone() -> None:
    fade_in, fade_out = weights("fade_in"), weights("fade_out", head_weights="geometric 0.5")
    assert [w[1] for w in fade_in] == [step / 8 for step in range(8)]
    assert [w[1] for w in fade_out] == [0.5 * (1 - step / 8) for step in range(8)]
    assert all(w[0] == 1 for w in fade_in + fade_out)


def test_geometric_weights() -> None:
    assert tiny(n_future=3, head_weights="geometric 0.5").weights_of_heads == (1, 0.5, 0.25)
    assert math.isclose(sum(tiny(n_future=3, head_weights=[1, 2, 0.5]).weights_of_heads), 3.5)

"""The chunked kernel against autograd of `torch.nn.functional.cross_entropy`."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtp import cross_entropy
from mtp.cross_entropy import IGNORED, linear_cross_entropy


def problem(rows: int, dim: int, vocabulary: int, targets: int, seed: int, ignored: float = 0.3) -> list[Tensor]:
    """x_RD, weight_VD, targets_RK, scales_K in float64."""
    g = torch.Generator().manual_seed(seed)
    target = torch.randint(0, vocabulary, (rows, targets), generator=g)
    target[torch.rand(rows, targets, generator=g) < ignored] = IGNORED
    x = torch.randn(rows, dim, generator=g, dtype=torch.float64)
    weight = 3 * torch.randn(vocabulary, dim, generator=g, dtype=torch.float64)
    return [x, weight, target, torch.rand(targets, generator=g, dtype=torch.float64)]


def reference(x: Tensor, weight: Tensor, targets: Tensor, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of nats, gradient of x, gradient of the weight, by autograd."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    logits = x @ weight.T
    nats = [F.cross_entropy(logits, t, ignore_index=IGNORED, reduction="sum") for t in targets.unbind(1)]
    nats_K = torch.stack(nats)
    (nats_K * scales).sum().backward()
    assert x.grad is not None and weight.grad is not None
    return nats_K.detach(), x.grad, weight.grad


def small_chunks(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(cross_entropy, "MIN_ROWS", rows)
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", {"cpu": 0})


@given(
    rows=st.integers(1, 17), dim=st.integers(1, 5), vocabulary=st.integers(1, 9), targets=st.integers(1, 4),
    chunk=st.integers(1, 20), ignored=st.sampled_from([0.0, 0.3, 1.0]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_equals_autograd(
    rows: int, dim: int, vocabulary: int, targets: int, chunk: int, ignored: float, seed: int
) -> None:
    """Every chunk size, ragged last chunks, several and equal targets per row, ignored ones, rows without any."""
    x, weight, target, scales = problem(rows, dim, vocabulary, targets, seed, ignored)
    start = torch.ones_like(weight)
    grad_weight = start.clone()
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch, chunk)
        nats, grad_x = linear_cross_entropy(x, weight, target, scales, grad_weight)
    for found, wanted in zip((nats, grad_x, grad_weight - start), reference(x, weight, target, scales), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_everything_ignored() -> None:
    x, weight, target, scales = problem(5, 3, 7, 2, seed=0, ignored=1.0)
    grad_weight = torch.zeros_like(weight)
    nats, grad_x = linear_cross_entropy(x, weight, target, scales, grad_weight)
    assert not nats.any() and not grad_x.any() and not grad_weight.any()


def test_a_scale_of_zero_scores_without_gradient() -> None:
    x, weight, target, scales = problem(5, 3, 7, 1, seed=0)
    grad_weight = torch.zeros_like(weight)
    nats, grad_x = linear_cross_entropy(x, weight, target, 0 * scales, grad_weight)
    torch.testing.assert_close(nats, reference(x, weight, target, scales)[0])
    assert not grad_x.any() and not grad_weight.any()


def test_extreme_logits_stay_finite() -> None:
    x, weight, target, scales = problem(6, 4, 8, 2, seed=3)
    nats, grad_x = linear_cross_entropy(1e4 * x, weight, target, scales, None)
    wanted_nats, wanted_grad_x, _ = reference(1e4 * x, weight, target, scales)
    torch.testing.assert_close(nats, wanted_nats)
    torch.testing.assert_close(grad_x, wanted_grad_x)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_lower_precision(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float) -> None:
    """Relative errors of the whole; bfloat16 has 8 bits, hence 2^-8 = 4e-3 an operation. Nats stay float32."""
    small_chunks(monkeypatch, 16)
    x, weight, target, scales = problem(100, 32, 50, 2, seed=1)
    x, weight = x.to(dtype), (weight / 10).to(dtype)
    grad_weight = torch.zeros(weight.shape, dtype=torch.float32)
    nats, grad_x = linear_cross_entropy(x, weight, target, scales.float(), grad_weight)
    assert nats.dtype == torch.float32 and grad_x.dtype == dtype
    wanted = reference(x.double(), weight.double(), target, scales)
    for found, exact in zip((nats, grad_x, grad_weight), wanted, strict=True):
        assert (found.double() - exact).norm() / exact.norm() < tolerance


def test_autocast_leaves_float32_inputs_alone() -> None:
    x, weight, target, scales = (t.float() if t.is_floating_point() else t for t in problem(9, 4, 8, 1, seed=2))
    plain = linear_cross_entropy(x, weight, target, scales, None)
    with torch.autocast("cpu", torch.bfloat16):
        inside = linear_cross_entropy(x, weight, target, scales, None)
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


def test_logits_never_exceed_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """4096 rows of V = 512 are 8 MiB of logits; with chunks of 1 MiB no tensor of more is ever made."""
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", {"cpu": 2**20})
    x, weight, target, scales = (t.float() if t.is_floating_point() else t for t in problem(4096, 8, 512, 1, seed=2))
    activity = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[activity], profile_memory=True) as profile:
        linear_cross_entropy(x, weight, target, scales, torch.zeros_like(weight))
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert 2**20 <= largest < 1.1 * 2**20


def test_same_bits_every_time() -> None:
    x, weight, target, scales = (t.float() if t.is_floating_point() else t for t in problem(300, 16, 40, 3, seed=4))
    results = []
    for _ in range(2):
        grad_weight = torch.zeros_like(weight)
        results.append((*linear_cross_entropy(x, weight, target, scales, grad_weight), grad_weight))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))

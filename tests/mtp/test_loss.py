"""Targets, and the sequential backward pass against the naive sum (Section 2, Figure 2)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtp.config import head_layouts
from mtp.loss import backward, naive_loss, split_window
from mtp.model import Model
from tests.conftest import tiny


def test_targets_of_a_counting_sequence() -> None:
    """Token t is t, so target i of position t must be t + 1 + i."""
    window = torch.arange(9)[None]
    inputs, targets = split_window(window, 3)
    assert inputs.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert targets.tolist() == [[[1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 6], [5, 6, 7], [6, 7, 8]]]


def test_targets_of_packed_documents() -> None:
    """Documents A and B with separator 99: targets run across the document's end, as in plain packing."""
    window = torch.tensor([[1, 2, 99, 7, 8, 99]])
    inputs, targets = split_window(window, 2)
    assert inputs.tolist() == [[1, 2, 99, 7]]
    assert targets.tolist() == [[[2, 99], [99, 7], [7, 8], [8, 99]]]


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 6))
def test_every_position_has_all_its_targets(batch: int, positions: int, n: int) -> None:
    window = torch.arange(positions + n).expand(batch, -1)
    inputs, targets = split_window(window, n)
    assert inputs.shape == (batch, positions) and targets.shape == (batch, positions, n)
    assert torch.equal(targets, inputs[..., None] + 1 + torch.arange(n))


@pytest.mark.parametrize("layout", head_layouts())
@pytest.mark.parametrize("n", [1, 2, 3])
def test_sequential_gradient_equals_naive(layout: str, n: int) -> None:
    config = tiny(heads=layout, n_future=n)
    model = Model(config).double()
    window = torch.randint(0, 256, (3, config.context + n), generator=torch.Generator().manual_seed(1))
    naive = naive_loss(model, window)
    naive.sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert len(expected) == len(list(model.parameters()))
    model.zero_grad()
    losses = backward(model, window)
    torch.testing.assert_close(losses, naive.detach(), rtol=1e-12, atol=1e-12)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, expected[name], rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("layout", head_layouts())
def test_micro_batches_add_up_to_the_batch(layout: str) -> None:
    config = tiny(heads=layout, n_future=2)
    model = Model(config).double()
    window = torch.randint(0, 256, (4, config.context + 2), generator=torch.Generator().manual_seed(2))
    whole = backward(model, window)
    expected = [p.grad.clone() for p in model.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    parts = sum(backward(model, part, share=0.5) / 2 for part in window.split(2))
    torch.testing.assert_close(parts, whole)
    for p, want in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, want, rtol=1e-10, atol=1e-12)


def test_only_one_head_holds_logits() -> None:
    """Between heads nothing of the size of the logits stays alive: count live tensors that end in V."""
    config = tiny(n_future=3)
    model = Model(config)
    window = torch.randint(0, 256, (3, config.context + 3))
    alive: list[int] = []
    count = 0

    def forget(*_: object) -> None:
        nonlocal count
        count -= 1

    real = model.head_logits

    def spy(head: int, z: torch.Tensor, **cached: object) -> torch.Tensor:
        nonlocal count
        import weakref

        logits = real(head, z, **cached)
        count += 1
        weakref.finalize(logits, forget)
        alive.append(count)
        return logits

    model.head_logits = spy  # type: ignore[method-assign]
    backward(model, window)
    assert alive == [1, 1, 1]

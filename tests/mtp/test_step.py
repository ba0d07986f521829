"""One optimiser step: heads that rest, heads that train aside, micro-batches, arithmetic."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtp.config import RunConfig, head_layouts, layout_of
from mtp.step import Step
from tests.conftest import tiny

CPU = torch.device("cpu")


def window(config: RunConfig, step: int) -> Tensor:
    shape = (config.batch_size, config.context + config.n_future)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(step))


def trained(steps: int = 4, **changes: Any) -> tuple[Step, list[Tensor]]:
    """A model after some steps, and its losses."""
    config = tiny(**{"steps": 4, "warmup_steps": 0, **changes})
    step = Step(config, CPU)
    return step, [step(window(config, i), i)[0] for i in range(steps)]


def weights(step: Step) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in step.model.named_parameters()}


def test_a_head_that_rests_is_not_computed_and_not_changed() -> None:
    """`add` with n = 2: head 2 comes in half way; until then not even weight decay moves it."""
    fresh = weights(Step(tiny(n_future=2, head_schedule="add"), CPU))
    half, losses = trained(steps=2, n_future=2, head_schedule="add")
    later = {name for name in fresh if name.startswith("heads.blocks.1.")}
    assert all(loss[1].isnan() and loss[0].isfinite() for loss in losses)
    assert all(torch.equal(weights(half)[name], fresh[name]) for name in later)
    assert not any(torch.equal(weights(half)[name], fresh[name]) for name in set(fresh) - later)
    whole, losses = trained(n_future=2, head_schedule="add")
    assert all(loss.isfinite().all() for loss in losses[2:])
    assert not any(torch.equal(weights(whole)[name], fresh[name]) for name in later)


@pytest.mark.parametrize("layout", [layout for layout in head_layouts() if layout_of(layout).detachable])
def test_detached_heads_do_not_reach_head_1_through_clipping_either(layout: str) -> None:
    """Bit for bit what head 1 alone would have become, with a clip that always bites."""
    plain, _ = trained(heads=layout, n_future=3, head_weights=[1, 0, 0], clip=0.01)
    aside, _ = trained(heads=layout, n_future=3, detach_heads=True, clip=0.01)
    attached, _ = trained(heads=layout, n_future=3, clip=0.01)
    for name in ("embedding.weight", "trunk.0.attention.qkv.weight", "norm.weight", "unembeddings.0.weight"):
        assert torch.equal(weights(aside)[name], weights(plain)[name]), name
        assert not torch.equal(weights(aside)[name], weights(attached)[name]), name


@pytest.mark.parametrize("scheme", ["naive", "checkpointed", "sequential", "chunked"])
def test_micro_batches_do_not_change_the_step(scheme: str) -> None:
    whole, losses = trained(batch_size=4, n_future=2, loss_scheme=scheme, document_mask=True)
    parts, again = trained(batch_size=4, n_future=2, loss_scheme=scheme, document_mask=True, micro_batch=1)
    torch.testing.assert_close(torch.stack(again), torch.stack(losses), rtol=1e-4, atol=1e-5)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", head_layouts())
def test_bfloat16_stays_close_to_float32(layout: str) -> None:
    _, exact = trained(heads=layout, n_future=2)
    rounded, losses = trained(heads=layout, n_future=2, precision="bfloat16")
    torch.testing.assert_close(torch.stack(losses), torch.stack(exact), rtol=0.02, atol=0.02)
    assert {p.dtype for p in rounded.model.parameters()} == {torch.float32}, "weights stay in float32"
    assert {loss.dtype for loss in losses} == {torch.float32}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_bits_again(precision: str) -> None:
    first, second = (trained(n_future=2, precision=precision)[0] for _ in range(2))
    assert all(torch.equal(weights(first)[name], weight) for name, weight in weights(second).items())

"""Contracts that every head layout keeps: shapes, causality, sizes; and the plain model at n = 1."""

import dataclasses

import pytest
import torch

from mtp.block import causal_attention
from mtp.config import RunConfig, head_layouts, layers_per_head
from mtp.model import Model
from tests.conftest import tiny


@pytest.mark.parametrize("layout", head_layouts())
def test_shapes(layout: str) -> None:
    config = tiny(heads=layout, n_future=3)
    model = Model(config)
    z = model.trunk_states(torch.randint(0, 256, (2, 7)))
    assert z.shape == (2, 7, config.dim)
    for i in range(3):
        assert model.head_logits(i, z).shape == (2, 7, config.vocab_size)


@pytest.mark.parametrize("layout", head_layouts())
def test_causality_of_every_head(layout: str) -> None:
    """Changing token t must leave all logits before t as they are, and change some at t."""
    model = Model(tiny(heads=layout, n_future=3)).double()
    tokens = torch.randint(0, 256, (1, 10), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 256
    for i in range(3):
        before, after = (model.head_logits(i, model.trunk_states(t)) for t in (tokens, changed))
        assert torch.equal(before[:, :6], after[:, :6])
        assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("layout", head_layouts())
def test_one_head_is_the_plain_model(layout: str) -> None:
    """With n = 1 every layout is one function and one run."""
    plain, other = tiny(), tiny(heads=layout)
    assert other.canonical() == plain and other.name() == plain.name()
    assert Model(other.canonical()).state_dict().keys() == Model(plain).state_dict().keys()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_parameter_count_does_not_depend_on_n(n: int) -> None:
    config = tiny(n_future=n)
    built = sum(p.numel() for p in Model(config).parameters())
    assert built == config.parameters == tiny().parameters


@pytest.mark.parametrize("layout", head_layouts())
def test_parameter_count_as_promised(layout: str) -> None:
    config = tiny(heads=layout, n_future=3)
    assert sum(p.numel() for p in Model(config).parameters()) == config.parameters
    extra = config.parameters - tiny().parameters
    assert extra == (0 if layers_per_head(layout) else 2 * config.vocab_size * config.dim)


def test_seven_billion_shapes() -> None:
    """The paper's 7B model has Llama 2's 6,738,415,616 weights, at every n."""
    for n in (1, 4):
        config = RunConfig(
            corpus="x", vocabulary="bpe32000", dim=4096, layers=32, attention_heads=32, n_future=n,
            context=4096, batch_size=2048, steps=25000, peak_lr=3e-4,
        )  # fmt: skip
        assert config.ffn_dim == 11008 and config.parameters == 6_738_415_616
        with torch.device("meta"):
            model = Model(config)
        assert sum(p.numel() for p in model.parameters()) == config.parameters
        assert len(model.trunk) == 32 - n


def test_arms_share_their_initial_weights() -> None:
    """Weights are drawn by name: the trunk's first layers start equal at n = 1 and n = 3."""
    a, b = Model(tiny()).state_dict(), Model(tiny(n_future=3)).state_dict()
    shared = a.keys() & b.keys()
    assert {"embedding.weight", "trunk.0.ffn.down.weight", "heads.blocks.0.attention.qkv.weight"} <= shared
    assert all(torch.equal(a[k], b[k]) for k in shared)
    assert not torch.equal(a["embedding.weight"], Model(tiny(seed=1)).state_dict()["embedding.weight"])


def test_short_attention_equals_the_fused_kernel() -> None:
    q, k, v = torch.randn(3, 2, 2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).unbind(0)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(causal_attention(q, k, v), fused, rtol=1e-12, atol=1e-12)


def test_flops_count_the_unembedding_once_per_head() -> None:
    one, four = tiny(layers=6), tiny(layers=6, n_future=4)
    assert four.flops - one.flops == 6.0 * 3 * one.vocab_size * one.dim * one.tokens
    assert dataclasses.replace(one, steps=16).flops == 2 * one.flops

"""One layer: hand-written parts against torch, whole windows against decoding, compiled against eager."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mtp.block import Block, Rope, compiled, rms_norm_of_few
from mtp.cache import KeyValues, Places, tables
from mtp.elementwise import rms_norm
from mtp.errors import UserError
from tests.conftest import tiny

HAS_COMPILER = any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def some_block(**changes: object) -> Block:
    torch.manual_seed(0)
    layer = Block(tiny(**changes))
    for weight in layer.parameters():
        torch.nn.init.normal_(weight, 0.5, 0.5)
    return layer


def test_rms_norm() -> None:
    x, weight = random(2, 3, 8), random(8, seed=1)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), F.rms_norm(x, (8,), weight, 1e-5), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-5), (x, weight))
    assert torch.isfinite(rms_norm(torch.zeros(2, 8), torch.ones(8), 1e-5)).all()


def test_the_norm_of_few_is_not_rounded_by_autocast() -> None:
    x, weight = random(2, 1, 8).detach().float(), random(8, seed=1).detach().float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(rms_norm_of_few(x, weight, 1e-5), F.rms_norm(x, (8,), weight, 1e-5))


@pytest.mark.parametrize("positions", [1, 8, 9])
def test_rms_norm_of_few(positions: int) -> None:
    """The same function on both sides of the limit, and where all is zero."""
    x, weight = random(2, positions, 8).detach(), random(8, seed=1).detach()
    x[0, 0] = 0
    torch.testing.assert_close(rms_norm_of_few(x, weight, 1e-5), F.rms_norm(x, (8,), weight, 1e-5))


def test_frozen_weights_get_no_gradient() -> None:
    layer, x = some_block(), random(2, 12, 16).detach().float().requires_grad_()
    layer.requires_grad_(False)
    layer(x, Rope(8, 1e4, 12)).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in layer.parameters())


@pytest.mark.parametrize("at_once", [1, 4])
def test_whole_windows_equal_decoding(at_once: int) -> None:
    """Two code paths, one function: a window at once, and a few tokens at a time with a cache."""
    layer, rope = some_block().double(), Rope(8, 1e4, 12).double()
    x = random(3, 12, 16).detach()
    cache = KeyValues(x.new_zeros(2, 1, 3, 2, 12, 8))
    steps = []
    with torch.no_grad():
        for new_T in torch.arange(12).split(at_once):
            places = Places(new_T.expand(3, -1), int(new_T[-1]) + 1, cache, *tables(*rope.tables(12)))
            steps.append(layer(x[:, new_T], rope, cache=cache, places=places))
        torch.testing.assert_close(torch.cat(steps, dim=1), layer(x, rope), rtol=1e-10, atol=1e-10)


def test_gradients_of_a_layer() -> None:
    """Against a layer of torch's own functions, for its input and for all its weights."""
    layer, rope = some_block().double(), Rope(8, 1e4, 12).double()
    x, grad = random(2, 12, 16), random(2, 12, 16, seed=1).detach()

    def plain(x: Tensor) -> Tensor:
        attention, ffn = layer.attention, layer.ffn
        qkv = F.linear(F.rms_norm(x, (16,), layer.attention_norm.weight, 1e-5), attention.qkv.weight)
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        cos, sin = rope.tables(12)
        q, k = (y * cos + torch.cat([-y[..., 4:], y[..., :4]], dim=-1) * sin for y in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(mixed.transpose(1, 2).flatten(2), attention.out.weight)
        gate, up = F.linear(F.rms_norm(x, (16,), layer.ffn_norm.weight, 1e-5), ffn.gate_up.weight).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, ffn.down.weight)

    inputs = (x, *layer.parameters())
    torch.testing.assert_close(layer(x, rope), plain(x), rtol=1e-11, atol=1e-11)
    pairs = zip(
        torch.autograd.grad(layer(x, rope), inputs, grad), torch.autograd.grad(plain(x), inputs, grad), strict=True
    )
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_autocast_keeps_weights_and_stream_in_float32() -> None:
    layer, x = some_block(), random(2, 12, 16).detach().float().requires_grad_()
    rope = Rope(8, 1e4, 12)
    exact = layer(x, rope)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x, rope)
        rounded.sum().backward()
    assert rounded.dtype == torch.float32 and x.grad is not None
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
    assert 0 < (rounded - exact).norm() / exact.norm() < 3e-2


@pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler, so torch.compile has nothing to work with")
def test_compiled_equals_eager() -> None:
    """One graph serves all layers; its arithmetic differs from eager in the last bits."""
    eager, fast = some_block(), some_block(compile=True)
    rope, grad = Rope(8, 1e4, 12), random(2, 12, 16, seed=1).detach().float()
    x = random(2, 12, 16).detach().float().requires_grad_()
    results = []
    for layer in (eager, fast):
        y = layer(x, rope, None)
        results.append((y, *torch.autograd.grad(y, (x, *layer.parameters()), grad)))
    for found, wanted in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(part: object, dynamic: bool) -> object:
        def call(*arguments: object) -> None:
            raise torch._dynamo.exc.TorchDynamoException("no compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    compiled.cache_clear()
    try:
        with pytest.raises(UserError, match="compile") as caught:
            some_block(compile=True)(torch.zeros(1, 12, 16), Rope(8, 1e4, 12))
    finally:
        compiled.cache_clear()
    assert "\n" not in str(caught.value)

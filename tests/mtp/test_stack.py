"""Blocks side by side are what they are one by one; decoding leaves a model as it is, but for the order in memory."""

import torch

from mtp.block import Block, Rope
from mtp.cache import KeyValues, Places, tables
from mtp.decoder import Decoder
from mtp.model import Model
from mtp.stack import Stack
from tests.conftest import tiny


def test_a_stack_equals_its_blocks() -> None:
    """Two calls, of rows that stand at positions of their own; each wants another of its tokens answered."""
    torch.manual_seed(0)
    blocks = [Block(tiny()).double().requires_grad_(False) for _ in range(3)]
    for block in blocks:
        for weight in block.parameters():
            torch.nn.init.normal_(weight, 0.5, 0.5)
    like, cos_sin = torch.zeros(1, dtype=torch.float64), tables(*Rope(8, 1e4, 12).double().tables(12))
    together = KeyValues(like.new_zeros(2, 3, 2, 2, 12, 8))
    alone = [KeyValues(like.new_zeros(2, 1, 2, 2, 12, 8)) for _ in blocks]
    for start_B, T, at_B in (([0, 0], 9, [3, 5]), ([4, 6], 4, [3, 0])):
        positions_BT = torch.tensor(start_B)[:, None] + torch.arange(T)
        x_BTD, at_B = torch.randn(2, T, 16, dtype=torch.float64), torch.tensor(at_B)
        places = Places(positions_BT, int(positions_BT.max()) + 1, together, *cos_sin)
        found_JBD = Stack(blocks).decode(x_BTD, together, places, at_B)
        for h_BD, block, cache in zip(found_JBD, blocks, alone, strict=True):
            places = Places(positions_BT, int(positions_BT.max()) + 1, cache, *cos_sin)
            torch.testing.assert_close(h_BD, block.decode(x_BTD, cache, places)[torch.arange(2), at_B])
        torch.testing.assert_close(together.both_2JBHSK, torch.cat([cache.both_2JBHSK for cache in alone], 1))


def test_a_model_that_has_decoded_can_be_trained() -> None:
    model = Model(tiny(n_future=3, layers=5))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with torch.inference_mode():
        Decoder(model, 1, 3)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    model(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
    assert all(weight.grad is not None for weight in model.trunk.parameters())

"""Finished runs come back as they were written: the same numbers, and none drawn on the way."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mtp.record import WEIGHTS
from mtp.runs import load_run
from tests.conftest import tiny
from tests.mtp.test_start import TOKENS_BT, finished


def test_the_same_model_and_nothing_drawn(tmp_path: Path) -> None:
    model = finished(tiny(n_future=3, context=24), tmp_path)
    generator = torch.get_rng_state()
    again, config = load_run(tmp_path, positions=40)
    assert torch.equal(torch.get_rng_state(), generator)
    assert config == model.config and not again.training
    stored, device = load_file(tmp_path / WEIGHTS), next(again.parameters()).device
    for name, weight in again.named_parameters():
        assert torch.equal(weight.cpu(), stored[name]) and not weight.requires_grad
    assert again.rope.tables(99)[0].shape[0] == 40
    for ours, theirs in zip(again.rope.tables(24), model.rope.tables(24), strict=True):
        assert torch.equal(ours.cpu(), theirs)
    with torch.inference_mode():
        assert torch.equal(again(TOKENS_BT.to(device)), model.to(device)(TOKENS_BT.to(device)))


def test_weights_outlive_their_file(tmp_path: Path) -> None:
    """Half precision is computed with in float32, and what is written over the file changes nothing."""
    finished(tiny(), tmp_path)
    stored = {name: weight.bfloat16() for name, weight in load_file(tmp_path / WEIGHTS).items()}
    save_file(stored, tmp_path / WEIGHTS)
    model, _ = load_run(tmp_path)
    (tmp_path / WEIGHTS).open("r+b").write(bytes((tmp_path / WEIGHTS).stat().st_size))
    for name, weight in model.named_parameters():
        assert weight.dtype == torch.float32 and torch.equal(weight.cpu(), stored[name].float())

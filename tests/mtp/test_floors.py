"""Arithmetic by hand, and the paper's table by arithmetic."""

import csv
import dataclasses

import pytest

from mtp import floors
from mtp.experiment import computed, load_scale, resolve
from tests.conftest import ROOT, tiny


def test_flop_ratio_by_hand() -> None:
    """d = 16, ffn 64, 4 layers, T = 12, V = 256: layers 4 (4 x 256 + 3 x 1024 + 12 x 16) = 17152; unembedding 4096."""
    config = tiny(n_future=3)
    assert (config.ffn_dim, floors.flop_ratio(tiny())) == (64, 1.0)
    assert floors.flop_ratio(config) == pytest.approx((17152 + 3 * 4096) / (17152 + 4096))


def test_one_head_is_relative_to_itself() -> None:
    config = tiny(n_future=3, heads="replicated", head_weights="geometric 0.5")
    assert floors.next_token(config).name() == tiny().name()
    naive = dataclasses.replace(config, loss_scheme="naive")
    assert floors.next_token(naive).name() == tiny(loss_scheme="naive").name(), "relative to the same scheme"


def test_step_bytes_by_hand() -> None:
    """n = 3: one trunk layer and one head of 36 rows each: 2 x 16 x 4 + (4 x 16 + 2 x 64) x 4 = 896 bytes a row."""
    config = tiny(n_future=3)
    assert floors.activation_bytes(config, 1) == 896
    block = 4 * 16**2 + 3 * 16 * 64 + 2 * 16
    at_loss = 4 * (256 * 16 + 2 * block) + 2 * 36 * 896 + 4 * 36 * 16 + 4 * 36 * 256
    assert floors.step_bytes(config) == max(at_loss, 4 * config.parameters) == at_loss
    few = dataclasses.replace(config, batch_size=1)
    assert floors.step_bytes(few) == 4 * config.parameters, "with few rows the gradients are the peak"


def test_the_papers_overhead_is_its_unembeddings() -> None:
    """Table S5 against the FLOPs of Table S14's shapes: to 0.01 at 1.3B and 3B, to 0.02 at 6.7B."""
    experiment = resolve(
        ROOT / "experiments/paper/tableS5.yaml", load_scale("smoke", ROOT / "experiments"), ROOT / "experiments"
    )
    with (ROOT / "experiments/paper/tableS5.csv").open() as file:
        paper = {(r["model_size"], int(r["n"])): float(r["relative_training_time"]) for r in csv.DictReader(file)}
    floor = {(p.axes["size"], p.axes["n_future"]): computed(experiment, p, "papers_floor") for p in experiment.points}
    assert floor.keys() == paper.keys()
    for (size, n), measured in paper.items():
        within = {"1.3B": 0.012, "3B": 0.012, "6.7B": 0.02}.get(size)
        if within:
            assert floor[size, n] == pytest.approx(measured, abs=within)
    assert float(floor["0.3B", 4]) > paper["0.3B", 4] and float(floor["13B", 4]) < paper["13B", 4] - 0.04


def test_what_a_round_reads() -> None:
    """Weights of the layers, and of the unembedding(s), once each."""
    block, unembedding = 4 * 16**2 + 3 * 16 * 64, 256 * 16
    for layout, plain, more in [
        ("parallel", 2 * block + unembedding, block),  # 4 layers, 3 of them heads: one of trunk, one of head 1
        ("causal", 2 * block + unembedding, block),
        ("anticausal", 4 * block + unembedding, 0),  # head 1 stands on all others
        ("linear", 4 * block + 16**2 + unembedding, 16**2),
        ("replicated", 4 * block + unembedding, unembedding),
        ("zero", 4 * block + unembedding, 0),
    ]:
        config = tiny(heads=layout, n_future=3)
        for heads in (1, 2, 3):
            assert floors.round_bytes(config, heads) == 4 * (plain + (heads - 1) * more), (layout, heads)
    assert floors.round_ratio(tiny(), 1) == 1

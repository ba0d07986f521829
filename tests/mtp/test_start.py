"""Runs that start from others: where weights go, what is refused, and that training says so."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mtp import lineage, start
from mtp.config import RunConfig
from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.errors import UserError
from mtp.model import Model
from mtp.train import train
from tests.conftest import ROOT, tiny

TOKENS_BT = torch.arange(2 * 12).reshape(2, 12) * 7 % 256


def finished(config: RunConfig, folder: Path) -> Model:
    """A model with random weights as a finished run."""
    model = Model(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.detach().contiguous() for name, weight in model.named_parameters()}, folder / start.WEIGHTS)
    (folder / "config.json").write_text(json.dumps({"config": config.to_dict()}))
    return model


def child_of(parent: RunConfig, **changes: Any) -> RunConfig:
    values = parent.to_dict() | {"init_from": parent.name()} | changes
    values.setdefault("layers", parent.layers)
    if "layers" not in changes:
        values["layers"] = lineage.layers_of_child(parent, values)
    return RunConfig.from_dict(values).canonical()


def begun(parent: RunConfig, folder: Path, **changes: Any) -> tuple[Model, Model]:
    """A finished parent and the child that starts from it."""
    torch.manual_seed(0)
    old = finished(parent, folder)
    config = child_of(parent, seed=5, **changes)
    lineage.check(parent, config)
    new = Model(config)
    start.begin(new, parent, folder)
    return old, new


def heads_of(model: Model) -> dict[int, torch.Tensor]:
    T = TOKENS_BT.shape[1] - model.config.n_future
    with torch.no_grad():
        return {head: model.logits(head, h) for head, h in model.head_states(TOKENS_BT, T)}


def next_token(model: Model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS_BT)


@pytest.mark.parametrize("heads", ["parallel", "linear", "replicated", "causal", "anticausal", "deepseek", "zero"])
def test_with_the_same_heads_it_is_the_same_model(tmp_path: Path, heads: str) -> None:
    old, new = begun(tiny(n_future=3, heads=heads, layers=5), tmp_path, steps=3)
    for head, logits in heads_of(old).items():
        assert torch.equal(logits, heads_of(new)[head])


@pytest.mark.parametrize("heads", ["parallel", "replicated", "causal"])
@pytest.mark.parametrize("n", [1, 2])
def test_removed_heads_leave_the_next_token_alone(tmp_path: Path, heads: str, n: int) -> None:
    old, new = begun(tiny(n_future=4, heads=heads, layers=6), tmp_path, n_future=n)
    assert torch.equal(next_token(old), next_token(new))
    assert new.config.n_future == n
    assert new.config.trunk_layers >= old.config.trunk_layers - 1


@pytest.mark.parametrize(("heads", "extra"), [("linear", 0), ("replicated", 0), ("parallel", 3), ("causal", 3)])
def test_added_heads_leave_the_next_token_alone(tmp_path: Path, heads: str, extra: int) -> None:
    old, new = begun(tiny(layers=5), tmp_path, n_future=4, heads=heads, extra_layers=extra)
    torch.testing.assert_close(next_token(new), next_token(old))


@pytest.mark.parametrize(("heads", "extra"), [("linear", 0), ("replicated", 0), ("parallel", 3)])
def test_added_heads_begin_with_what_head_1_says(tmp_path: Path, heads: str, extra: int) -> None:
    _, new = begun(tiny(layers=5), tmp_path, n_future=4, heads=heads, extra_layers=extra)
    logits = heads_of(new)
    for head in range(1, 4):
        torch.testing.assert_close(logits[head], logits[0])


def test_heads_that_take_layers_from_the_trunk(tmp_path: Path) -> None:
    """ "+0": the trunk keeps its first layers, head 1 is the last layer, the number of layers stays."""
    old, new = begun(tiny(layers=6), tmp_path, n_future=4)
    assert new.config.layers == 6 and len(new.trunk) == 2
    ours, theirs = dict(new.named_parameters()), dict(old.named_parameters())
    assert torch.equal(ours["trunk.1.ffn.down.weight"], theirs["trunk.1.ffn.down.weight"])
    for head in range(4):
        assert torch.equal(ours[f"heads.blocks.{head}.ffn.down.weight"], theirs["heads.blocks.0.ffn.down.weight"])


def test_every_weight_comes_from_the_parent(tmp_path: Path) -> None:
    parent = tiny(layers=6)
    for heads in ("parallel", "causal", "anticausal", "replicated"):
        child = Model(child_of(parent, n_future=3, heads=heads))
        assert set(start.sources(Model(parent), child)) == {name for name, _ in child.named_parameters()}


@pytest.mark.parametrize(
    ("parent", "changes", "message"),
    [
        ({"n_future": 3, "heads": "anticausal"}, {"n_future": 1}, "cannot do without the others"),
        ({"n_future": 3, "heads": "linear"}, {"n_future": 1}, "keep all of them"),
        ({"n_future": 2}, {"n_future": 2, "heads": "causal"}, "start: heads"),
        ({}, {"n_future": 3, "heads": "deepseek"}, "cannot be added"),
        ({}, {"dim": 32}, "start: dim: 32 here, but 16"),
        ({}, {"vocabulary": "bpe512"}, "start: vocabulary"),
        ({}, {"layers": 9}, "start: layers"),
    ],
)
def test_impossible_starts_are_refused(parent: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    whole = tiny(**({"layers": 6} | parent)).canonical()
    with pytest.raises(UserError, match=message):
        lineage.check(whole, child_of(whole, **changes))


def test_the_folder_must_hold_the_run_that_is_named(tmp_path: Path) -> None:
    parent = tiny()
    finished(parent, tmp_path)
    child = child_of(parent, steps=3)
    assert start.parent_of(child, tmp_path) == parent
    with pytest.raises(UserError, match=r"--start: missing; .* starts from tiny-bytes"):
        start.parent_of(child, None)
    with pytest.raises(UserError, match="starts from nothing"):
        start.parent_of(parent, tmp_path)
    with pytest.raises(UserError, match="but init_from is"):
        start.parent_of(dataclasses.replace(child, init_from="another"), tmp_path)
    save_file({"norm.weight": torch.zeros(2)}, tmp_path / start.WEIGHTS)
    with pytest.raises(UserError, match="not the weights of"):
        start.begin(Model(child), parent, tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "bytes"
    build(Folder(name="own", path=str(ROOT / "mtp"), pattern="**/*.py", holdout=5), out, out.parent)
    return out


def test_training_goes_on_from_the_parent(data: Path, tmp_path: Path) -> None:
    parent = tiny(steps=30, peak_lr=3e-2)
    train(parent, data, tmp_path / "parent")
    child = child_of(parent, steps=4, n_future=2, extra_layers=1, peak_lr=1e-4, warmup_steps=0, validations=1)
    train(child, data, tmp_path / "child", start_run=tmp_path / "parent")
    last = (tmp_path / "parent" / "validation.csv").read_text().splitlines()[-1].split(",")
    first = (tmp_path / "child" / "validation.csv").read_text().splitlines()[-1].split(",")
    assert abs(float(last[3]) - float(first[3])) < 0.1, "head 1 still knows what the parent knew"
    record = json.loads((tmp_path / "child" / "config.json").read_text())
    assert record["identity"]["start"] == start.digest(tmp_path / "parent")
    assert record["config"]["init_from"] == parent.name()


def test_another_parent_is_another_run(data: Path, tmp_path: Path) -> None:
    """The same name trained again with other weights: what was trained from it is not taken for finished."""
    parent = tiny(steps=2)
    train(parent, data, tmp_path / "parent")
    child = child_of(parent, steps=2)
    train(child, data, tmp_path / "child", start_run=tmp_path / "parent")
    before = (tmp_path / "child" / "model.safetensors").read_bytes()
    finished(parent, tmp_path / "parent")
    train(child, data, tmp_path / "child", start_run=tmp_path / "parent")
    assert (tmp_path / "child" / "model.safetensors").read_bytes() != before

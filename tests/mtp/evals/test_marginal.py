"""Two steps of head 1: against the sum taken one token at a time, and against what must hold for any model."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mtp.config import RunConfig
from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.errors import UserError
from mtp.evals import marginal
from mtp.model import Model
from tests.conftest import ROOT, tiny


def model_of(config: RunConfig) -> Model:
    torch.manual_seed(0)
    model = Model(config).eval().requires_grad_(False)
    for weight in model.parameters():
        weight.add_(0.3 * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("heads", ["parallel", "linear", "replicated", "causal", "anticausal"])
def test_side_by_side_is_one_after_another(heads: str) -> None:
    model = model_of(tiny(n_future=3, heads=heads, layers=5))
    context_T = torch.arange(9) * 23 % 256
    between_X = torch.tensor([5, 250, 17])
    together_XV = torch.cat(list(marginal.after_each(model, context_T, between_X)))
    for x, log_p_V in zip(between_X, together_XV, strict=True):
        alone_V = model(torch.cat([context_T, x[None]])[None])[0, -1].double().log_softmax(-1)
        torch.testing.assert_close(log_p_V, alone_V, atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tiny(n_future=2))
    context_T, between_X = torch.arange(8), torch.arange(20)
    whole = torch.cat(list(marginal.after_each(model, context_T, between_X)))
    monkeypatch.setattr(marginal, "CHUNK", 7)
    torch.testing.assert_close(
        torch.cat(list(marginal.after_each(model, context_T, between_X))), whole, atol=1e-5, rtol=0
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "bytes"
    build(Folder(name="own", path=str(ROOT / "mtp"), pattern="**/*.py", holdout=5), out, out.parent)
    return out


def stored(model: Model, folder: Path) -> Path:
    save_file({name: weight.contiguous() for name, weight in model.named_parameters()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"config": model.config.to_dict()}))
    return folder


def metrics_of(model: Model, folder: Path, data: Path, between: int) -> dict[tuple[str, str], float]:
    settings = marginal.check({"positions": 6, "between": between})
    found = marginal.run(stored(model, folder), data, settings, folder, 1)
    return {(m.get("of", m["metric"]), m.get("bound", "")): m["value"] for m in found["metrics"]}


def test_the_bounds_close_in_on_the_full_sum(data: Path, tmp_path: Path) -> None:
    model = model_of(tiny(n_future=2))
    some, every = metrics_of(model, tmp_path, data, 20), metrics_of(model, tmp_path, data, 256)
    ends = ("two steps of head 1", "lower"), ("two steps of head 1", "upper")
    assert some[ends[0]] < every[ends[0]] < some[ends[1]]
    assert every[ends[0]] == pytest.approx(every[ends[1]], abs=1e-6)
    assert every["summed_probability", ""] == pytest.approx(100)
    assert some["summed_probability", ""] < 100
    assert every["behind", ""] == pytest.approx(every["head 2", ""] - every[ends[1]])


def test_the_full_sum_by_hand(data: Path, tmp_path: Path) -> None:
    model = model_of(tiny())
    found = metrics_of(model, tmp_path, data, 256)
    text = np.memmap(data / "valid.bin", np.uint8, "r")
    T = model.config.context - 1
    bits = []
    for place in marginal.starts(len(text), T, 6):
        read = torch.from_numpy(np.asarray(text[place : place + T + 2], dtype=np.int64))
        p_V = model(read[None, :T])[0, -1].double().softmax(-1)
        q = sum(
            p_V[x].item() * model(torch.cat([read[:T], torch.tensor([x])])[None])[0, -1].double().softmax(-1)[read[-1]]
            for x in range(256)
        )
        bits.append(-math.log2(float(q)))
    assert found["two steps of head 1", "upper"] == pytest.approx(float(np.mean(bits)), abs=1e-5)
    assert ("head 2", "") not in found


def test_a_model_without_memory_knows_as_much_of_the_second_token(data: Path, tmp_path: Path) -> None:
    """Where the next token says nothing about the one behind it, the sum is the plain prediction."""
    model = model_of(tiny())
    torch.nn.init.zeros_(model.unembeddings[0].weight)
    found = metrics_of(model, tmp_path, data, 256)
    assert found["two steps of head 1", "upper"] == pytest.approx(8)


def test_refusals(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="positions: must be at least 1"):
        marginal.check({"positions": 0, "between": 4})
    with pytest.raises(UserError, match="fewer than a context"):
        marginal.starts(10, 9, 4)
    for config in (tiny(document_mask=True), tiny(n_future=2, heads="deepseek")):
        with pytest.raises(UserError, match="needs a transformer without document_mask"):
            marginal.refuse(config)

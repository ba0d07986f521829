"""Meta's format: its names, shapes and counts, the same logits there and back, and one line for what does not fit."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtp import released
from mtp.config import RunConfig
from mtp.data.build import build
from mtp.data.corpora import Folder
from mtp.errors import UserError
from mtp.evaluate import evaluate
from mtp.export import export
from mtp.model import Model
from mtp.released import CONSOLIDATED, PARAMS, config_of, halves, load, main, neighbours, read_params, shapes
from mtp.runs import load_run
from mtp.weights import on_meta
from tests.conftest import tiny
from tests.mtp.llama_reference import block, rms
from tests.mtp.test_start import finished

PARAMS_7B = {"dim": 4096, "n_layers": 32, "n_heads": 32, "vocab_size": 32000, "multiple_of": 256, "norm_eps": 1e-5}


def written(folder: Path, **changes: Any) -> tuple[Model, RunConfig, Path]:
    """A model with random weights, its configuration, and its folder in Meta's format."""
    torch.manual_seed(0)
    config = tiny(**{"context": 24, "norm_eps": 1e-3, "rope_theta": 100.0, "n_future": 3} | changes)
    model = finished(config, folder / "run").eval()
    export(folder / "run", None, folder / "meta", "released")
    return model, config, folder / "meta"


def heads_of(model: Model, tokens_BT: Tensor) -> Tensor:
    """Logits of all heads: (B, T - n, n, V)."""
    n = model.config.n_future
    with torch.no_grad():
        found = dict(model.head_states(tokens_BT, tokens_BT.shape[1] - n))
        return torch.stack([model.logits(head, found[head]) for head in range(n)], 2)


def inputs(config: RunConfig) -> Tensor:
    return torch.randint(config.vocab_size, (2, config.context), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "n"), [("7B_200B_1", 1), ("7B_200B_4", 4), ("7B_1T_4", 4)])
def test_the_7b_shapes(name: str, n: int, tmp_path: Path) -> None:
    """Counted on the meta device, from params.json alone."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / PARAMS).write_text(json.dumps(PARAMS_7B | {"n_future_tokens": n}))
    config = config_of(folder, read_params(folder))
    wanted = shapes(on_meta(config))
    assert len(wanted) == 291 and sum(map(math.prod, wanted.values())) == config.parameters == 6_738_415_616
    assert (config.vocabulary, config.separator, config.pad) == ("sp32000", 2, 0)
    assert f"{config.tokens / 1e12:.1f}" == ("1.0" if "1T" in name else "0.2")
    last = 32 - n
    assert wanted[f"layers.{last}.feed_forward.w2.weight"] == (4096, 11008)
    assert f"layers.{last + 1}.attention.wq.weight" not in wanted
    extra = {key.split(".")[1] for key in wanted if key.startswith("extra_heads.")}
    assert extra == {str(j) for j in range(n - 1)}


@pytest.mark.parametrize("n", [1, 3])
def test_there_and_back(n: int, tmp_path: Path) -> None:
    model, config, meta = written(tmp_path, n_future=n)
    load(meta, tmp_path / "again", config)
    again, told = load_run(tmp_path / "again")
    assert told == config
    assert torch.equal(heads_of(again.cpu(), inputs(config)), heads_of(model, inputs(config)))


@pytest.mark.parametrize("n", [1, 3])
def test_it_is_metas_model(n: int, tmp_path: Path) -> None:
    """The published forward pass, neighbouring features as complex numbers, on what we wrote."""
    model, config, meta = written(tmp_path, n_future=n)
    told = json.loads((meta / PARAMS).read_text())
    w = torch.load(meta / CONSOLIDATED, weights_only=True)

    def layer(x_BTD: Tensor, prefix: str) -> Tensor:
        own = {key.split(".")[-2]: tensor for key, tensor in w.items() if key.startswith(f"{prefix}.")}
        return block(x_BTD, own, told["n_heads"], told["rope_theta"], told["norm_eps"], True)

    trunk = told["n_layers"] - told["n_future_tokens"]
    z_BTD = w["tok_embeddings.weight"][inputs(config)]
    for i in range(trunk):
        z_BTD = layer(z_BTD, f"layers.{i}")
    states = [layer(z_BTD, prefix) for prefix in (f"layers.{trunk}", *(f"extra_heads.{j}" for j in range(n - 1)))]
    logits = rms(torch.stack(states, 2), w["norm.weight"], told["norm_eps"]) @ w["output.weight"].T
    assert torch.allclose(logits[:, :-n], heads_of(model, inputs(config)), atol=1e-4)


def test_rows_are_sorted_as_rotation_pairs_them() -> None:
    rows_D1 = torch.arange(12.0)[:, None]
    assert halves(rows_D1, 2)[:, 0].tolist() == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert torch.equal(neighbours(halves(rows_D1, 2), 2), rows_D1)


def test_half_precision_is_kept_and_tables_are_ignored(tmp_path: Path) -> None:
    model, config, meta = written(tmp_path)
    tensors = {name: tensor.half() for name, tensor in torch.load(meta / CONSOLIDATED, weights_only=True).items()}
    torch.save(tensors | {"rope.freqs": torch.ones(4)}, meta / CONSOLIDATED)
    load(meta, tmp_path / "again", config)
    record = json.loads((tmp_path / "again" / "config.json").read_text())
    assert record["imported"]["type"] == "float16" and record["imported"]["tensors"] == 9 * 4 + 3
    again = load_run(tmp_path / "again")[0].cpu()
    assert torch.allclose(heads_of(again, inputs(config)), heads_of(model, inputs(config)), atol=0.05)


def test_it_is_evaluated_like_any_run(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for i in range(20):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"text number {i}, which says little\n" * (i + 2))
    data = tmp_path / "data" / "bytes"
    build(Folder(name="tiny", path=str(tmp_path / "texts"), pattern="*.txt"), data, tmp_path)
    _, config, meta = written(tmp_path)
    load(meta, tmp_path / "again", config)
    settings = {"limit_bytes": 2000, "batch_size": 4}
    found = [
        evaluate("likelihood", tmp_path / run, data, settings, tmp_path / f"{run}.json")["metrics"]
        for run in ("run", "again")
    ]
    assert found[0] == found[1] and found[0]


def edit_params(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        told = json.loads((folder / PARAMS).read_text())
        change(told)
        (folder / PARAMS).write_text(json.dumps(told))

    return edit


def edit_tensors(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = torch.load(folder / CONSOLIDATED, weights_only=True)
        change(tensors)
        torch.save(tensors, folder / CONSOLIDATED)

    return edit


MISFITS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no params": (lambda f: (f / PARAMS).unlink(), r"params.json: No such file or directory; a checkpoint's folder"),
    "no JSON": (lambda f: (f / PARAMS).write_text("{"), "params.json: not JSON"),
    "a list": (lambda f: (f / PARAMS).write_text("[]"), "params.json: expected an object"),
    "params lack": (edit_params(lambda p: p.pop("dim")), "params.json: missing key dim"),
    "params have": (
        edit_params(lambda p: p.update(use_scaled_rope=True)),
        "params.json: unexpected key use_scaled_rope: True; it may change the model",
    ),
    "no number": (edit_params(lambda p: p.update(dim="16")), "params.json: dim: expected a positive whole number"),
    "wrong dim": (edit_params(lambda p: p.update(dim=32)), r"params.json: dim: 32, but the run .* has 16"),
    "wrong heads": (
        edit_params(lambda p: p.update(n_future_tokens=1)),
        r"params.json: n_future_tokens: 1, but the run .* has 3",
    ),
    "grouped": (edit_params(lambda p: p.update(n_kv_heads=1)), r"params.json: n_kv_heads: 1, but the run .* has 2"),
    "wide": (edit_params(lambda p: p.update(ffn_dim_multiplier=2.0)), "give a hidden width of 96, but the run has 64"),
    "no weights": (lambda f: (f / CONSOLIDATED).unlink(), "consolidated.pth: no such file; a checkpoint's folder"),
    "no zip": (lambda f: (f / CONSOLIDATED).write_bytes(b"nothing"), r"consolidated.pth: cannot be read \("),
    "cut off": (
        lambda f: (f / CONSOLIDATED).write_bytes((f / CONSOLIDATED).read_bytes()[:5000]),
        r"consolidated.pth: cannot be read \(.*is it whole\?",
    ),
    "no names": (lambda f: torch.save([1], f / CONSOLIDATED), "consolidated.pth: does not hold tensors by name"),
    "key lacks": (
        edit_tensors(lambda t: t.pop("layers.1.attention.wo.weight")),
        "consolidated.pth: missing key layers.1.attention.wo.weight; 39 are needed",
    ),
    "keys lack": (
        edit_tensors(lambda t: [t.pop(key) for key in list(t) if key.startswith("extra_heads.1.")]),
        r"missing key extra_heads.1.attention.wk.weight \(and 8 more\); 39 are needed",
    ),
    "key too many": (
        edit_tensors(lambda t: t.update({"layers.7.ffn_norm.weight": torch.ones(16)})),
        "consolidated.pth: unexpected key layers.7.ffn_norm.weight; 39 are known",
    ),
    "shape": (
        edit_tensors(lambda t: t.update({"output.weight": torch.ones(255, 16)})),
        r"consolidated.pth: wrong shape of output.weight: \[255, 16\] instead of \[256, 16\]",
    ),
    "types": (
        edit_tensors(lambda t: t.update({"norm.weight": torch.ones(16, dtype=torch.float64)})),
        "consolidated.pth: holds float32, float64; weights of one type are needed",
    ),
}


@pytest.mark.parametrize(("spoil", "expected"), MISFITS.values(), ids=MISFITS)
def test_misfits_are_told_in_one_line(spoil: Callable[[Path], Any], expected: str, tmp_path: Path) -> None:
    _, config, meta = written(tmp_path)
    spoil(meta)
    with pytest.raises(UserError, match=expected) as caught:
        load(meta, tmp_path / "again", config)
    assert "\n" not in str(caught.value) and not (tmp_path / "again").exists()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, config, meta = written(tmp_path)
    main(["--checkpoint", str(meta), "--config", config.to_json(), "--check"])
    assert f"39 tensors, {config.parameters:,} weights, as {config.name()} needs" in capsys.readouterr().out
    main(["--checkpoint", str(meta), "--config", str(tmp_path / "run"), "--out", str(tmp_path / "again")])
    assert config.name() in capsys.readouterr().out
    for options, expected in (
        (["--checkpoint", str(meta), "--check"], "is none of 7B_200B_<n>, 7B_1T_<n>"),
        (["--checkpoint", str(meta), "--config", config.to_json()], "--out: missing"),
        (["--checkpoint", str(meta), "--config", "{", "--check"], "--config: "),
    ):
        with pytest.raises(SystemExit):
            main(options)
        told = capsys.readouterr().err
        assert expected in told and told.count("\n") == 1


def test_tensors_come_one_by_one(tmp_path: Path) -> None:
    """No two weights are in memory at a time: each is made when the file asks for it."""
    model, _, meta = written(tmp_path)
    tensors = released.open_consolidated(meta / CONSOLIDATED)
    asked: list[str] = []

    class Noted(dict[str, Tensor]):
        def __getitem__(self, name: str) -> Tensor:
            asked.append(name)
            return super().__getitem__(name)

    found = released.weights_of(model, Noted(tensors))
    assert next(found)[0] == "embedding.weight" and asked == ["tok_embeddings.weight"]

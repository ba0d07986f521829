"""The command end to end on a tiny random model: contract of the result, resuming, messages."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mtp import evaluate
from mtp.evals import humaneval as module
from mtp.evals import names
from mtp.evals._problems import humaneval
from mtp.generate import Sample, generate
from mtp.model import Model
from mtp.sandbox import box
from tests.conftest import tiny
from tests.mtp.test_sandbox import isolated

HUMANEVAL = {
    "samples": 3, "temperatures": [0.2, 0.8], "top_p": 0.95, "max_tokens": 6, "ks": [1, 3], "batch_size": 4,
    "problems": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def plain_arithmetic() -> Iterator[None]:
    """The command sets the process's arithmetic for good; other tests must not depend on it."""
    if not hasattr(torch.backends.mkldnn, "matmul"):
        yield
        return
    before = torch.backends.mkldnn.matmul.fp32_precision
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run and a data folder that hold only what an evaluation reads."""
    run, data = tmp_path / "run", tmp_path / "data"
    run.mkdir()
    data.mkdir()
    config = tiny(n_future=2)
    save_file(Model(config).state_dict(), run / "model.safetensors")
    (run / "config.json").write_text(json.dumps({"run": config.name(), "config": config.to_dict()}))
    (data / "manifest.json").write_text(json.dumps({"vocabulary": {"name": "bytes"}}))
    text = "".join(task["prompt"] for task in humaneval()).encode()
    np.frombuffer(text, np.uint8).tofile(data / "valid.bin")
    return run, data


def command(folders: tuple[Path, Path], name: str, values: dict[str, Any], **changes: str) -> dict[str, Any]:
    run, data = folders
    options = {"run": str(run), "data": str(data), "eval": name, "settings": json.dumps(values)} | changes
    options = {"out": str(run / f"{name}.json")} | options
    evaluate.main([text for key, value in options.items() for text in (f"--{key}", value)])
    result: dict[str, Any] = json.loads(Path(options["out"]).read_text())
    return result


def select(result: dict[str, Any], **labels: Any) -> dict[str, Any]:
    metrics: list[dict[str, Any]] = result["metrics"]
    (found,) = [m for m in metrics if all(m.get(key) == value for key, value in labels.items())]
    return found


def test_names() -> None:
    assert {"humaneval", "likelihood"} <= set(names()) and not any(name.startswith("_") for name in names())


def test_likelihood(folders: tuple[Path, Path]) -> None:
    result = command(folders, "likelihood", {"limit_bytes": 500, "batch_size": 16}, code="abc")
    assert result["eval"] == "likelihood" and result["status"] == "measured" and result["reason"] == ""
    assert result["run"] == tiny(n_future=2).name() and result["provenance"]["code"] == "abc"
    for text in ("held-out code", "HumanEval references"):
        for head in (1, 2):
            bits = select(result, metric="bits_per_byte", text=text, head=head)
            assert 6 < bits["value"] < 12  # a random model knows nothing: about 8 bits
            assert 0 <= select(result, metric="accuracy", text=text, head=head)["value"] < 5
    solutions = sum(len(task["canonical_solution"].encode()) for task in humaneval())
    assert select(result, metric="bits_per_byte", text="HumanEval references", head=1)["bytes"] == solutions
    assert select(result, metric="bits_per_byte", text="held-out code", head=1)["tokens"] == 498  # 83 half windows of 6


@isolated
def test_humaneval(folders: tuple[Path, Path]) -> None:
    result = command(folders, "humaneval", HUMANEVAL)
    assert result["status"] == "measured"
    for temperature in ("0.2", "0.8", "oracle"):
        for k in (1, 3):
            found = select(result, metric="pass@k", benchmark="HumanEval", k=k, temperature=temperature)
            assert (found["value"], found["ci_low"], found["ci_high"]) == (0, 0, 0)
            assert (found["problems"], found["samples"]) == (2, 3)
    for metric in ("parses", "defines_entry_point"):
        assert 0 <= select(result, metric=metric, temperature="0.8")["value"] <= 100
    assert result["settings"]["prompts_truncated"] == 2 and result["settings"]["stops"][0] == "\nclass"
    rows = [json.loads(line) for line in gzip.decompress((folders[0] / module.SAMPLES).read_bytes()).splitlines()]
    assert [(r["temperature"], r["task_id"], r["sample"]) for r in rows] == [
        (t, task["task_id"], s) for t in ("0.2", "0.8") for task in humaneval()[:2] for s in range(3)
    ]
    assert {"seed", "completion", "finish", "tokens", "verdict"} <= set(rows[0])
    assert not (folders[0] / module.PARTIAL).exists()


@isolated
def test_humaneval_counts_what_passes(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows the first problem at T = 0.2 in one of three samples, and the second at T = 0.8 always."""
    solutions = [task["canonical_solution"] for task in humaneval()]

    def oracle(model: Any, vocabulary: Any, requests: list[Any], sampling: Any, batch_size: int) -> Iterator[Sample]:
        for r in requests:
            knows = (sampling.temperature, r.problem) == (0.8, 1) or (sampling.temperature, r.problem, r.sample) == (
                0.2,
                0,
                2,
            )
            yield Sample(r.problem, r.sample, solutions[r.problem] if knows else "    return None\n", [1], "stop")

    monkeypatch.setattr(module, "generate", oracle)
    result = command(folders, "humaneval", HUMANEVAL)
    values = {(m["temperature"], m["k"]): m["value"] for m in result["metrics"] if m["metric"] == "pass@k"}
    assert values == pytest.approx(
        {("0.2", 1): 100 / 6, ("0.2", 3): 50, ("0.8", 1): 50, ("0.8", 3): 50, ("oracle", 1): 50, ("oracle", 3): 50}
    )
    assert select(result, metric="parses", temperature="0.2")["value"] == 100
    assert result["verdicts"] == {"failed": 8, "passed": 4}


@isolated
def test_a_killed_evaluation_continues(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = HUMANEVAL | {"batch_size": 1}
    whole = command(folders, "humaneval", settings)
    samples = (folders[0] / module.SAMPLES).read_bytes()
    drawn: list[Sample] = []

    def counted(*args: Any, stop: int = 10**9) -> Iterator[Sample]:
        for sample in generate(*args):
            if len(drawn) == stop:
                raise KeyboardInterrupt
            drawn.append(sample)
            yield sample

    monkeypatch.setattr(module, "generate", lambda *args: counted(*args, stop=7))
    with pytest.raises(KeyboardInterrupt):
        command(folders, "humaneval", settings)
    with (folders[0] / module.PARTIAL).open("a") as file:
        file.write('{"temperature": "0.8", "cut o')
    kept = (folders[0] / module.PARTIAL).read_bytes()
    drawn.clear()
    monkeypatch.setattr(module, "generate", counted)
    again = command(folders, "humaneval", settings)
    assert len(drawn) == 12 - 7
    assert again["metrics"] == whole["metrics"] and (folders[0] / module.SAMPLES).read_bytes() == samples
    # samples of other weights or settings are not taken over
    (folders[0] / module.PARTIAL).write_bytes(kept)
    drawn.clear()
    command(folders, "humaneval", settings | {"max_tokens": 5})
    assert len(drawn) == 12


def test_unavailable_is_a_result(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "bubblewraps", list)
    result = command(folders, "humaneval", HUMANEVAL)
    assert result["status"] == "unavailable" and "bubblewrap" in result["reason"] and result["metrics"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit_byte": 5, "batch_size": 2}, "settings: limit_byte: unknown key; did you mean 'limit_bytes'?"),
        ({"limit_bytes": 5}, "settings: batch_size: missing"),
        ({"limit_bytes": "5", "batch_size": 2}, "settings: limit_bytes: expected int, got '5'"),
        ({"limit_bytes": 5, "batch_size": 0}, "settings: batch_size: must be at least 1"),
    ],
)
def test_wrong_settings(
    folders: tuple[Path, Path], settings: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(folders, "likelihood", settings)
    assert message in one_line(capsys)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_wrong_ks(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(folders, "humaneval", HUMANEVAL | {"ks": [1, 4]})
    assert "settings: ks: pass@4 needs at least 4 samples" in one_line(capsys)


def test_unknown_evaluation_and_missing_run(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, changes, message in (
        ("likelyhood", {}, "did you mean 'likelihood'?"),
        ("likelihood", {"run": str(tmp_path / "none")}, "train the run first"),
        ("likelihood", {"settings": "{"}, "--settings: not JSON"),
    ):
        with pytest.raises(SystemExit, match="2"):
            command(folders, name, {"limit_bytes": 5, "batch_size": 2}, **changes)
        assert message in one_line(capsys)


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "damaged"])
def test_weights_are_checked(folders: tuple[Path, Path], change: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folders[0] / "model.safetensors"
    weights = load_file(path)
    if change == "missing":
        del weights["norm.weight"]
    elif change == "unknown":
        weights["norm.bias"] = torch.zeros(2)
    else:
        weights["norm.weight"] = torch.zeros(3)
    save_file(weights, path)
    if change == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SystemExit, match="2"):
        command(folders, "likelihood", {"limit_bytes": 5, "batch_size": 2})
    words = {
        "missing": "norm.weight: missing",
        "unknown": "norm.bias: unknown",
        "shape": "norm.weight: shape [3] instead of [16]",
    }
    assert words.get(change, "cannot be read") in one_line(capsys)

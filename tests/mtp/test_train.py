"""Training: exact resume, signals, divergence, guarded checkpoints, the same data for all arms."""

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtp import checkpoint
from mtp.config import RunConfig
from mtp.data import examples
from mtp.data.build import build
from mtp.data.corpora import Folder, Synthetic
from mtp.errors import UserError
from mtp.metrics import GrowingCsv
from mtp.train import OUTPUTS, Stopped, finished, read_config, train, validation_steps
from tests.conftest import ROOT, tiny

TIMING = {"tokens_per_second", "peak_memory_mb"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's own sources as bytes."""
    out = tmp_path_factory.mktemp("data") / "bytes"
    build(Folder(name="own", path=str(ROOT / "mtp"), pattern="**/*.py", holdout=5), out, out.parent)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    """A CSV without its timing columns."""
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING} for row in csv.DictReader(file)]


def start(config: RunConfig, data: Path, out: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mtp.train", "--config", config.to_json(), "--data", str(data), "--out", str(out)]
    return subprocess.Popen([*command, *more], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.02)


def test_two_runs_are_equal_and_complete(data: Path, tmp_path: Path) -> None:
    config = tiny(n_future=2)
    for name in ("a", "b"):
        train(config, data, tmp_path / name, code="c")
    a, b = tmp_path / "a", tmp_path / "b"
    assert sorted(p.name for p in a.iterdir() if not p.name.startswith(".")) == sorted(OUTPUTS)
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    assert rows(a / "metrics.csv") == rows(b / "metrics.csv")
    assert (a / "validation.csv").read_bytes() == (b / "validation.csv").read_bytes()
    found = rows(a / "metrics.csv")
    assert [int(r["step"]) for r in found] == list(range(1, 9))
    assert int(found[-1]["tokens"]) == config.tokens
    assert float(found[0]["loss_1"]) == pytest.approx(np.log(256), rel=0.3)
    # For bytes the bits per byte are the loss of head 1, but for separators, which are no text.
    assert float(found[0]["bits_per_byte"]) == pytest.approx(float(found[0]["loss_1"]) / np.log(2), rel=0.02)
    record = json.loads((a / "config.json").read_text())
    assert RunConfig.from_dict(record["config"]) == config
    assert torch.__version__.startswith(record["provenance"]["versions"]["torch"].split("+")[0])


def test_training_learns(data: Path, tmp_path: Path) -> None:
    config = tiny(steps=60, warmup_steps=5, batch_size=8, n_future=2)
    train(config, data, tmp_path)
    found = rows(tmp_path / "metrics.csv")
    first, last = (np.mean([float(r["loss_1"]) for r in part]) for part in (found[:5], found[-5:]))
    assert last < first - 1.0


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_ends_with_the_same_bits(data: Path, tmp_path: Path, stop: signal.Signals) -> None:
    """Killed after a checkpoint; the weights and curves equal those of an undisturbed run."""
    config = tiny(steps=400, batch_size=8, validations=4, n_future=2)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(config, data, whole, code="c")
    process = start(config, data, cut, "--code", "c", "--checkpoint-seconds", "0.05")
    wait_for(cut / checkpoint.LATEST)
    process.send_signal(stop)
    _, said = process.communicate()
    assert process.returncode == (143 if stop == signal.SIGTERM else -9)
    assert not (cut / "model.safetensors").exists(), "killed too late to test anything"
    if stop == signal.SIGTERM:
        assert "checkpoint saved" in said
    again = start(config, data, cut, "--code", "c")
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert "resumed at step" in said
    for name in ("model.safetensors", "validation.csv"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    assert rows(cut / "metrics.csv") == rows(whole / "metrics.csv")


class AfterThreeSteps:
    """Signals of a process that is asked to stop in its third step (a step looks twice)."""

    asked = 0

    @property
    def received(self) -> int | None:
        self.asked += 1
        return signal.SIGTERM if self.asked > 2 * 2 else None


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"precision": "bfloat16", "compile": True},
        {"compile": True},
        {"head_schedule": "add", "document_mask": True},
        {"detach_heads": True, "heads": "deepseek", "micro_batch": 1},
        {"trunk": "gru", "heads": "linear", "precision": "bfloat16"},
    ],
    ids=str,
)
def test_every_arithmetic_and_schedule_resumes_with_the_same_bits(
    changes: dict[str, Any], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after 3 of 8 steps, in the middle of what a schedule does."""
    if changes.get("compile") and not shutil.which("g++"):
        pytest.skip("torch.compile needs a C++ compiler, and there is no g++")
    config = tiny(n_future=2, **changes)
    monkeypatch.setattr("mtp.train.VALIDATION_BYTES", 200)

    train(config, data, tmp_path / "whole", code="c")
    with monkeypatch.context() as patch:
        patch.setattr("mtp.train.Signals", AfterThreeSteps)
        with pytest.raises(Stopped, match="at step 3"):
            train(config, data, tmp_path / "cut", code="c")
    train(config, data, tmp_path / "cut", code="c")
    for name in ("model.safetensors", "validation.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()
    assert rows(tmp_path / "whole" / "metrics.csv") == rows(tmp_path / "cut" / "metrics.csv")


def test_a_synthetic_task_is_learnt_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples are made on the way; curves and losses are of answers alone."""
    out = tmp_path / "bytes"
    options = {"symbols": 5, "length": 6}
    examples.build(Synthetic(name="p", task="progressions", options=options, validation_examples=100), out)
    config = tiny(steps=100, batch_size=16, context=24, n_future=2, loss_on="answers", validations=2)
    train(config, out, tmp_path / "whole", code="c")
    found = rows(tmp_path / "whole" / "metrics.csv")
    assert float(found[0]["loss_1"]) == pytest.approx(np.log(256), rel=0.3)
    assert float(found[-1]["loss_1"]) < 0.9, "less than one of four symbols by chance, or 1.39 nats"
    ends = 5 / 4  # four symbols of text and a separator
    assert float(found[0]["bits_per_byte"]) == pytest.approx(float(found[0]["loss_1"]) / np.log(2) * ends, rel=0.02)
    curve = rows(tmp_path / "whole" / "validation.csv")
    assert float(curve[-1]["accuracy_1"]) > 30

    with monkeypatch.context() as patch:
        patch.setattr("mtp.train.Signals", AfterThreeSteps)
        with pytest.raises(Stopped, match="at step 3"):
            train(config, out, tmp_path / "cut", code="c")
    train(config, out, tmp_path / "cut", code="c")
    for name in ("model.safetensors", "validation.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_an_orphan_is_asked_to_save_and_stop(data: Path, tmp_path: Path) -> None:
    """Two processes on one run: the second goes on from the first one's checkpoint instead of racing it."""
    config = tiny(steps=4000, batch_size=8, validations=1)
    orphan = start(config, data, tmp_path, "--code", "c", "--checkpoint-seconds", "0.2")
    wait_for(tmp_path / checkpoint.LATEST)
    successor = start(config, data, tmp_path, "--code", "c")
    _, said = orphan.communicate(timeout=60)
    assert orphan.returncode == 143
    assert "checkpoint saved" in said
    successor.send_signal(signal.SIGTERM)
    _, said = successor.communicate(timeout=60)
    assert f"process {orphan.pid} trains this run already" in said


def test_a_finished_run_is_left_alone(data: Path, tmp_path: Path) -> None:
    config = tiny()
    train(config, data, tmp_path, code="c")
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    train(config, data, tmp_path, code="c")
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == before
    train(config, data, tmp_path, code="other code")
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns != before
    assert not finished(tmp_path, {"configuration": config.to_json(), "code": "c", "arithmetic": "float32"})


@pytest.mark.parametrize("key", ["configuration", "code", "arithmetic"])
def test_a_checkpoint_of_something_else_is_never_resumed(tmp_path: Path, key: str) -> None:
    identity = {"configuration": "a", "code": "b", "arithmetic": "c"}
    checkpoint.save(tmp_path, identity, {"step": 5}, {})
    found = checkpoint.find(tmp_path, identity)
    assert found is not None and found.numbers == {"step": 5}
    assert checkpoint.find(tmp_path, identity | {key: "other"}) is None


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    identity = {"code": "b"}
    checkpoint.save(tmp_path, identity, {"step": 5}, {})
    checkpoint.save(tmp_path, identity, {"step": 6}, {})
    latest = tmp_path / checkpoint.LATEST
    latest.write_bytes(latest.read_bytes()[:100])
    found = checkpoint.find(tmp_path, identity)
    assert found is not None and found.numbers == {"step": 5}


def test_divergence_names_step_rate_and_checkpoint(data: Path, tmp_path: Path) -> None:
    config = tiny(peak_lr=1e4, clip=1e9, steps=50)
    with pytest.raises(UserError) as caught:
        train(config, data, tmp_path)
    message = str(caught.value)
    for part in ("diverged at step", "learning rate", "checkpoint", config.name(), "peak_lr"):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "model.safetensors").exists()


def test_full_disk_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left"):
        train(tiny(), data, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_too_little_disk_is_said_before_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(UserError, match=r"needs .* MB of disk"):
        train(tiny(), data, tmp_path)
    assert not list(tmp_path.glob("*.csv"))


def test_validation_points() -> None:
    assert validation_steps(tiny(steps=10, validations=4)) == {3, 5, 8, 10}
    assert max(validation_steps(tiny(steps=7, validations=3))) == 7


def test_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    first = GrowingCsv(path, ["step", "loss"], 0)
    for step in range(1, 6):
        first.append([step, step / 3])
    first.close()
    with path.open("a") as file:
        file.write("6,0.")  # killed in the middle of a line
    again = GrowingCsv(path, ["step", "loss"], 3)
    again.append([4, 9.0])
    again.close()
    assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,1\n4,9\n"


def test_configuration_from_text_or_file(tmp_path: Path) -> None:
    config = tiny()
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": config.to_dict()}))
    assert read_config(config.to_json()) == read_config(str(path)) == config
    path.write_text(json.dumps({**config.to_dict(), "n_futur": 2}))
    with pytest.raises(UserError, match=r"config\.json: n_futur: unknown key; did you mean 'n_future'"):
        read_config(str(path))


def test_missing_data_is_one_line(tmp_path: Path) -> None:
    process = start(tiny(), tmp_path / "none", tmp_path / "out")
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.count("\n") == 1
    assert str(tmp_path / "none") in said


def test_what_others_have_trained_is_not_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"checkpoint: 7B_200B_4: others have trained it; .*mtp\.released") as caught:
        train(tiny(checkpoint="7B_200B_4"), data, tmp_path)
    assert "\n" not in str(caught.value)


def test_corpus_does_not_change_arithmetic() -> None:
    """Configurations that differ only in the seed have different data orders but equal shapes."""
    a, b = tiny(), dataclasses.replace(tiny(), seed=1)
    assert a.parameters == b.parameters
    assert a.name() != b.name()

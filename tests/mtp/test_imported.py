"""Experiments on weights that others trained: one run per point, imported instead of trained, or why it is not run."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtp.dag import Suite
from mtp.errors import UserError
from mtp.experiment import load_all, load_scale
from mtp.imported import ENVIRONMENT, folder_of, lacking, tokenizer_of
from mtp.record import load_config
from mtp.runs import load_run
from tests.conftest import tiny
from tests.mtp.test_released import written
from tests.test_workflow import copy_project, snakemake

MODEL = ("dim", "layers", "attention_heads", "context", "batch_size", "steps", "peak_lr", "warmup_steps", "norm_eps",
         "rope_theta")  # fmt: skip


def checkpoint(folder: Path) -> dict[str, Any]:
    """Writes weights/mini_3, and returns the keys of an experiment that say what it is."""
    _, config, meta = written(folder / "made")
    (folder / "weights").mkdir()
    meta.rename(folder / "weights" / "mini_3")
    return {"corpus": "code", "vocabulary": "bytes", **{key: getattr(config, key) for key in MODEL}}


def experiment(base: dict[str, Any]) -> str:
    told = {
        "label": "Imported",
        "title": "Weights of others beside ours",
        "base": base | {"n_future": 3},
        "arms": {
            "theirs": {"base": {"checkpoint": "mini_3"}},
            "not here": {"base": {"checkpoint": "mini_4"}},
            "ours": {"grid": {"n_future": [3]}},
        },
        "rows": ["arm"],
        "evals": ["likelihood"],
        "metrics": {
            "bits": {"title": "bits", "metric": "bits_per_byte", "where": {"text": "held-out code", "head": 1}}
        },
    }
    return yaml.safe_dump(told, sort_keys=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of this repository whose one experiment names two checkpoints, one of which is there."""
    folder = tmp_path / "project"
    folder.mkdir()
    copy_project(folder)
    for path in (folder / "experiments").glob("[pa]*/*.yaml"):
        path.unlink()
    (folder / "experiments" / "ablations" / "imported.yaml").write_text(experiment(checkpoint(tmp_path)))
    scale = folder / "experiments" / "scales" / "smoke.yaml"
    scale.write_text(yaml.safe_dump(yaml.safe_load(scale.read_text()) | {"seeds": [0, 1]}))
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "weights"))
    monkeypatch.chdir(folder)
    return folder


def test_one_run_per_checkpoint(project: Path) -> None:
    theirs, missing, ours = load_all(load_scale("smoke"))["imported"].points
    assert [run.checkpoint for run in theirs.runs] == ["mini_3"] and len(ours.runs) == 2
    assert theirs.runs[0].name() not in {run.name() for run in ours.runs}
    assert not missing.runs and "params.json of the checkpoint mini_4 is not here" in missing.skipped
    assert f"{ENVIRONMENT} names the folder that mini_4 lies in" in missing.skipped
    suite = Suite(yaml.safe_load((project / "experiments/scales/smoke.yaml").read_text()))
    assert suite.imported == [theirs.runs[0].name()] and suite.trained == [run.name() for run in ours.runs]
    assert [Path(path).name for path in suite.checkpoint_files(suite.imported[0])] == [
        "params.json",
        "consolidated.pth",
    ]
    assert suite.checkpoint_files(suite.trained[0]) == []


def test_others_start_from_it(project: Path) -> None:
    """Every seed from the same weights."""
    told = yaml.safe_load((project / "experiments" / "ablations" / "imported.yaml").read_text())
    start = told["base"] | {"checkpoint": "mini_3"}
    told |= {"start": start, "base": {"steps": 3, "batch_size": 2, "peak_lr": 1e-3, "context": 24}}
    told |= {"arms": {"further": {"grid": {"n_future": [1, 3]}}}, "rows": ["n_future"]}
    (project / "experiments" / "ablations" / "imported.yaml").write_text(yaml.safe_dump(told))
    suite = Suite(yaml.safe_load((project / "experiments/scales/smoke.yaml").read_text()))
    (parent,) = suite.imported
    assert len(suite.trained) == 4 and {suite.runs[run].init_from for run in suite.trained} == {parent}
    assert {suite.runs[run].checkpoint for run in suite.trained} == {""}


def test_pieces_of_the_checkpoints(project: Path, tmp_path: Path) -> None:
    """The corpus of a checkpoint with pieces is encoded by the tokenizer.model beside it."""
    (tmp_path / "weights" / "tokenizer.model").touch()
    path = project / "experiments" / "ablations" / "imported.yaml"
    path.write_text(path.read_text().replace("vocabulary: bytes", "vocabulary: Llama 2"))
    scale = project / "experiments" / "scales" / "smoke.yaml"
    values = yaml.safe_load(scale.read_text())
    values["vocabularies"]["Llama 2"] = "sp300"
    scale.write_text(yaml.safe_dump(values))
    suite = Suite(values)
    assert suite.pieces_model("300") == [str(tmp_path / "weights" / "tokenizer.model")] and not suite.pieces_model(
        "512"
    )
    target = f"{suite.data_folder(suite.imported[0])}/manifest.json"
    planned = snakemake(project, target, "-n", "--configfile", "experiments/scales/smoke.yaml")
    assert ": 300 SentencePiece pieces" in planned.stdout + planned.stderr


def test_it_is_imported_not_trained(project: Path) -> None:
    run = load_all(load_scale("smoke"))["imported"].points[0].runs[0]
    scale = ("--configfile", "experiments/scales/smoke.yaml")
    planned = snakemake(project, "imported", "-n", *scale)
    plan = planned.stdout + planned.stderr
    assert plan.count(f": import {run.name()}") == 1 and f": train {run.name()}" not in plan
    assert plan.count(": train ") == 2 and plan.count(": likelihood of ") == 3
    target = f"results/smoke/runs/{run.name()}"
    done: subprocess.CompletedProcess[str] = snakemake(project, f"{target}/config.json", "--cores", "1", *scale)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_config(project / target) == run == load_run(project / target)[1]


def test_a_checkpoint_that_is_not_what_the_experiment_says(project: Path) -> None:
    path = project / "experiments" / "ablations" / "imported.yaml"
    path.write_text(path.read_text().replace("attention_heads: 2", "attention_heads: 4"))
    run = load_all(load_scale("smoke"))["imported"].points[0].runs[0]
    target = f"results/smoke/runs/{run.name()}/config.json"
    done = snakemake(project, target, "--cores", "1", "--configfile", "experiments/scales/smoke.yaml")
    assert done.returncode != 0
    assert "params.json: n_heads: 2, but the run" in done.stdout + done.stderr


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    folder = tmp_path / "7B_1T_4"
    folder.mkdir()
    assert folder_of("7B_1T_4") == folder == folder_of(str(folder))
    for name, missing in (("params.json", "consolidated.pth"), ("consolidated.pth", "tokenizer.model")):
        (folder / name).touch()
        assert lacking("7B_1T_4", "sp32000").startswith(f"{missing} of the checkpoint 7B_1T_4 is not here")
    assert lacking("7B_1T_4", "bytes") == ""
    (tmp_path / "tokenizer.model").touch()
    assert lacking("7B_1T_4", "sp32000") == "" and tokenizer_of("7B_1T_4") == tmp_path / "tokenizer.model"
    (folder / "tokenizer.model").touch()
    assert tokenizer_of("7B_1T_4") == folder / "tokenizer.model"


def test_weights_come_from_one_place() -> None:
    with pytest.raises(UserError, match="checkpoint: 7B brings its weights; it cannot start from other too"):
        tiny(checkpoint="7B", init_from="other")
    assert tiny(checkpoint="7B").name() != tiny().name()

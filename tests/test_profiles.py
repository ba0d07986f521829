"""Profiles: their keys, scales and rules exist; what jobs ask of a cluster, on one node and on several."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtp import experiment
from mtp.dag import Suite
from mtp.errors import UserError
from tests.conftest import ROOT
from tests.test_readme import options_of
from tests.test_workflow import copy_project, snakemake

PROFILES = sorted(path.parent.name for path in ROOT.glob("profiles/*/profile.yaml"))
RULES = set(re.findall(r"(?m)^rule (\w+):", "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk"))))


def profile(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())
    return loaded


def on_slurm() -> list[str]:
    return [name for name in PROFILES if profile(name).get("executor") == "slurm"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_what_exists(name: str) -> None:
    keys = profile(name)
    ours = {f"--{key}" for key in keys if not key.startswith("slurm-")}
    assert ours <= options_of("snakemake")
    assert keys["configfile"] and all((ROOT / file).exists() for file in keys["configfile"])
    assert keys.get("set-resources", {}).keys() <= RULES


def test_both_clusters_are_profiles() -> None:
    assert on_slurm() == ["paper", "slurm"]


@pytest.mark.parametrize("name", on_slurm())
def test_settings_of_the_executor_exist(name: str) -> None:
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm", reason="make slurm has not been run")
    known = {f"slurm-{field.name.replace('_', '-')}" for field in dataclasses.fields(plugin.ExecutorSettings)}
    assert {key for key in profile(name) if key.startswith("slurm-")} <= known


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy whose profiles leave out the executor, which `make slurm` alone installs.

    Its rules have no messages: a dry run tells the message of a job or its resources.
    """
    folder = copy_project(tmp_path_factory.mktemp("project"))
    for name in on_slurm():
        kept = {key: value for key, value in profile(name).items() if key != "executor" and "slurm-" not in key}
        (folder / "profiles" / name / "profile.yaml").write_text(yaml.safe_dump(kept))
    for path in folder.glob("workflow/rules/*.smk"):
        path.write_text(re.sub(r"(?m)^    message:\n        .*\n", "", path.read_text()))
    return folder


def target() -> str:
    """An evaluation at the paper's sizes: what is trained and prepared for it is few jobs."""
    return Suite({"scale": "paper"}).eval_files("fig3")[0]


def resources(project: Path) -> dict[str, dict[str, str]]:
    """Rule -> threads, resources and what is said to the shell, of its first job in a dry run."""
    done = snakemake(project, "-n", "-p", "--cores", "64", "--workflow-profile", "profiles/paper", target())
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {}
    for block in re.split(r"(?m)^\[.*\]$", done.stdout + done.stderr):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
        asked = re.search(r"^    resources: (.*)$", block, re.MULTILINE)
        threads = re.search(r"^    threads: (\d+)$", block, re.MULTILINE)
        if rule and asked:
            named = dict(pair.split("=", 1) for pair in asked[1].split(", ") if "=" in pair)
            shell = " ".join(re.findall(r"(?m)^ *(.* -m mtp.*)$", block))
            found.setdefault(rule[1], named | {"threads": threads[1] if threads else "1", "shell": shell})
    return found


def test_what_the_jobs_of_the_paper_ask_for(project: Path) -> None:
    asked = resources(project)
    train, evaluate, corpus = (asked[rule] for rule in ("train", "evaluate", "corpus"))
    assert train["gpu"] == "8" and train["nodes"] == "1" and train["tasks_per_gpu"] == "0" and "mpi" not in train
    assert (train["mem_mb"], train["runtime"], train["cpus_per_task"]) == ("600000", "1440", "64")
    assert train["slurm_extra"] == "--signal=TERM@300"
    assert (evaluate["gpu"], evaluate["mem_mb"], evaluate["threads"]) == ("1", "128000", "8")
    assert "gpu" not in corpus and corpus["mem_mb"] == "64000" and corpus["runtime"] == "1440"


def test_a_run_on_several_nodes(project: Path) -> None:
    scale = (ROOT / "experiments/scales/paper.yaml").read_text()
    told = scale.replace("gpus_per_run: 8\n", "gpus_per_run: 32\nnodes_per_run: 4\n")
    assert told != scale
    copy = shutil.copytree(project, project.parent / "several")
    (copy / "experiments/scales/paper.yaml").write_text(told)
    train = resources(copy)["train"]
    assert train.items() >= {"gpu": "32", "gres": "gpu:8", "nodes": "4", "tasks": "4", "mpi": "srun"}.items()
    assert train["threads"] == "8" and train["slurm_extra"] == "--signal=TERM@300"
    assert re.search(
        r"exec srun --nodes=4 --ntasks=4 .* torchrun --nnodes=4 .*--nproc_per_node=8 -m mtp", train["shell"]
    )
    assert "--rdzv_endpoint=$(hostname):$((20000 + SLURM_JOB_ID % 10000))" in train["shell"]


@pytest.mark.parametrize(
    ("gpus", "nodes", "begin"),
    [
        (0, 1, "python -m mtp.warm mtp.train"),
        (1, 1, "python -m mtp.train"),
        (8, 1, "torchrun --standalone --shutdown-timeout=240 --nproc_per_node=8 -m mtp.train --parallel fsdp"),
        (16, 2, "srun --nodes=2 --ntasks=2"),
    ],
)
def test_what_starts_a_run(monkeypatch: pytest.MonkeyPatch, gpus: int, nodes: int, begin: str) -> None:
    assert sized(monkeypatch, gpus, nodes).train_command().startswith(begin)


@pytest.mark.parametrize(("gpus", "nodes"), [(8, 3), (1, 2), (0, 2)])
def test_nodes_share_equally_or_not_at_all(monkeypatch: pytest.MonkeyPatch, gpus: int, nodes: int) -> None:
    with pytest.raises(UserError, match=rf"smoke.yaml: nodes_per_run: gpus_per_run: {gpus} cannot be .* {nodes} nodes"):
        sized(monkeypatch, gpus, nodes)


def sized(monkeypatch: pytest.MonkeyPatch, gpus: int, nodes: int) -> Suite:
    """The smoke scale, its batches enlarged, with so many GPUs and nodes for each run."""
    scale = experiment.load_scale("smoke")
    recipes = {name: {**recipe, "batch_size": 16} for name, recipe in scale.recipes.items()}
    changed = {"gpus_per_run": gpus, "nodes_per_run": nodes, "parallel": "fsdp", "recipes": recipes}
    monkeypatch.setattr(experiment, "load_scale", lambda name: scale.model_copy(update=changed))
    return Suite({"scale": "smoke"})

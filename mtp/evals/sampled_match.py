"""Sampled answers to test questions of a synthetic task: pass@k by temperature, as for GSM8K in Figure S13.

An answer is right if it is exactly the task's. Questions are the same for all runs; samples are drawn from head 1 with
the run's seed. `chance` is what the best sampler gets that does not read the question (`blind`): for k = 1 always the
commonest answer of training.
"""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.data.examples import task_of
from mtp.errors import UserError
from mtp.evals import _passes
from mtp.progress import bar
from mtp.settings import positive

if TYPE_CHECKING:
    from mtp.data.vocabulary import Vocabulary
    from mtp.model import Model

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {
    "pass@k": ("group", "domain", "k", "temperature"),
    "chance": ("group", "domain", "k"),
}
"""What is reported, and the labels that tell its numbers apart."""
SEED = 0
"""Of the test questions, and of the training answers that are counted."""
COUNTED = 4096
"""Training answers of a group whose frequencies are counted."""
ALL = "all"
"""The label of all groups together."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = _passes.check(settings, {"questions": int}, {})
    positive(found, "questions")
    if found["questions"] < 2:
        raise UserError("settings: questions: must be at least 2 (the interval is over questions)")
    return found


def right_samples(
    model: "Model",
    vocabulary: "Vocabulary",
    task: Any,
    pairs: Sequence[tuple[bytes, bytes]],
    settings: Mapping[str, Any],
    temperature: float,
) -> list[int]:
    """How many samples of every question are right."""
    from mtp.generate import Request, Sampling, generate

    prompts = [vocabulary.encode(f"{question.decode()}=") for question, _ in pairs]
    requests = [Request(i, s, prompt) for i, prompt in enumerate(prompts) for s in range(settings["samples"])]
    longest = task.longest_answer + 1  # with the separator
    sampling = Sampling(temperature, settings["top_p"], longest, (), model.config.seed)
    counts = [0] * len(pairs)
    for sample in generate(model, vocabulary, requests, sampling, settings["batch_size"]):
        question, right = pairs[sample.problem]
        # An answer that has not ended might go on.
        ended = sample.finish == "end of document"
        counts[sample.problem] += int(ended and task.score(question, right, sample.text.encode())["exact"] == 1)
    return counts


def blind(share_A: np.ndarray, k: int) -> np.ndarray:
    """How often each answer is best guessed by someone who draws k guesses without reading the question; sums to 1.

    Maximises the chance that one of k independent guesses is right, where answer a is right with probability share_A:
    sum over a of share (1 - (1 - guess)^k). For k = 1 that is always the commonest answer; for more guesses the gain of
    one more is the same for all answers that are guessed at all, which determines them (found by bisection).
    """
    if k == 1:
        return np.eye(len(share_A))[int(share_A.argmax())]
    low, high = 0.0, float(share_A.max())
    for _ in range(100):
        gain = (low + high) / 2
        guess_A = np.clip(1 - (gain / np.maximum(share_A, 1e-300)) ** (1 / (k - 1)), 0, None)
        low, high = (gain, high) if guess_A.sum() > 1 else (low, gain)
    found: np.ndarray = guess_A / guess_A.sum()
    return found


def chance(task: Any, group: str, k: int) -> float:
    """Percent of questions of which one of k blind guesses is right, where answers are as frequent as in training."""
    examples = task.examples("train", SEED, 0, COUNTED, group)
    counts = collections.Counter(examples.split(i)[1] for i in range(len(examples)))
    share_A = np.array([counts[answer] for answer in sorted(counts)]) / counts.total()
    return 100 * float((share_A * (1 - (1 - blind(share_A, k)) ** k)).sum())


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: questions (of each group), samples, temperatures, top_p, ks and batch_size (samples in the making).

    Raises:
        UserError: the corpus is no synthetic task, or a question does not fit the context.
    """
    from mtp import cpu
    from mtp.data.vocabulary import Vocabulary
    from mtp.runs import arithmetic, load_run

    task = task_of(data_dir)
    if task is None:
        raise UserError(f"{data_dir}: sampled_match needs questions: a corpus of kind synthetic")
    model, config = load_run(model_dir)
    if config.teacherless:
        raise UserError(f"{model_dir}: sampled_match reads its own answers, which a teacherless model cannot")
    vocabulary = Vocabulary.load(data_dir)
    asked: list[tuple[str, tuple[bytes, bytes]]] = []
    for group in task.groups:
        examples = task.examples("test", SEED, 0, settings["questions"], group)
        asked += [(group, examples.split(i)) for i in range(len(examples))]
    longest = max(len(question) for _, (question, _) in asked) + task.longest_answer + 2
    if longest > config.context:
        raise UserError(f"{model_dir}: context: {config.context} is less than the {longest} bytes of a test question")
    passed: dict[float, list[int]] = {}
    with arithmetic(model), cpu.small_products():
        for temperature in bar(settings["temperatures"], desc=f"sampled_match {model_dir.name}", unit="temperature"):
            pairs = [pair for _, pair in asked]
            passed[temperature] = right_samples(model, vocabulary, task, pairs, settings, temperature)
    metrics: list[dict[str, Any]] = []
    guessed: dict[int, list[float]] = {k: [] for k in settings["ks"]}
    for group in task.groups:
        indices = [i for i, (of, _) in enumerate(asked) if of == group]
        counts = {temperature: [right[i] for i in indices] for temperature, right in passed.items()}
        labels = {"group": group, "domain": "in" if group in task.in_domain else "out"}
        metrics += _passes.rows(labels, settings["samples"], counts, settings["ks"])
        for k in settings["ks"]:
            guessed[k].append(chance(task, group, k))
            metrics.append({"metric": "chance", **labels, "k": k, "value": guessed[k][-1]})
    metrics += _passes.rows({"group": ALL}, settings["samples"], passed, settings["ks"])
    for k, values in guessed.items():
        metrics.append({"metric": "chance", "group": ALL, "k": k, "value": sum(values) / len(values)})
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {**settings, "context": config.context, "seed": config.seed},
    }

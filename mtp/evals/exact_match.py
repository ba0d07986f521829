"""Answers to test questions of a synthetic task: how many are right, group by group.

Decoding is greedy, by head 1, up to the separator; a teacherless model writes its whole answer in one pass. The test
set of a group is the same for all runs. Besides `exact` the task's own scores are reported, and what chance would get.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.data.examples import scores, task_of
from mtp.errors import UserError
from mtp.progress import bar
from mtp.settings import checked, positive

if TYPE_CHECKING:
    from mtp.model import Model

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = dict.fromkeys(("chance", *scores()), ("group", "domain"))
"""What is reported, and the labels that tell its numbers apart."""
SEED = 0
"""Of the test examples: not the run's, so that all runs answer the same questions."""
Z = 1.959964
"""Of a 95 % interval."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"samples": int, "batch_size": int}, {})
    positive(found, "samples", "batch_size")
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean: Wilson's where values are 0 or 1, else the normal one."""
    n, mean = len(values), math.fsum(values) / len(values)
    if set(values) <= {0.0, 1.0}:
        middle, half = mean + Z**2 / (2 * n), Z * math.sqrt(mean * (1 - mean) / n + Z**2 / (4 * n**2))
        return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)
    half = Z * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def decoded(model: "Model", prompts: Sequence[bytes], longest: int, batch_size: int) -> list[bytes]:
    """Greedy answers to prompts (questions with their equals sign), up to the separator.

    Prompts of all lengths stand in one batch with pads behind them, which no position before sees. Every token of the
    answers costs a pass over all of it, which for questions this short is far quicker than one prompt at a time with
    cached keys, and any trunk can do it. A teacherless model reads pads in place of its answer, so one pass is all.
    """
    import torch

    config, found = model.config, []
    device = next(model.parameters()).device
    places_T = torch.arange(longest + 1)  # of the answer and its separator
    for batch in batched(prompts, batch_size):
        widest = max(map(len, batch))
        tokens_BT = torch.full((len(batch), widest + len(places_T)), config.pad, device=device)
        for row, prompt in zip(tokens_BT, batch, strict=True):
            row[: len(prompt)] = torch.tensor(list(prompt))
        rows_B1, ends_B1 = torch.arange(len(batch))[:, None], torch.tensor([[len(prompt)] for prompt in batch])
        with torch.inference_mode():
            if config.teacherless:
                answers_BT = model(tokens_BT).argmax(-1)[rows_B1, ends_B1 - 1 + places_T]
            else:
                for t in range(len(places_T)):
                    guesses_BT = model(tokens_BT[:, : widest + t]).argmax(-1)
                    tokens_BT[rows_B1, ends_B1 + t] = guesses_BT[rows_B1, ends_B1 - 1 + t]
                answers_BT = tokens_BT[rows_B1, ends_B1 + places_T]
        for answer_T in answers_BT.cpu().numpy().astype(np.uint8):
            found.append(answer_T.tobytes().partition(bytes([config.separator]))[0])
    return found


def batched(items: Sequence[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of up to `size` items."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def answers(model: "Model", questions: Sequence[bytes], longest: int, batch_size: int) -> list[bytes | None]:
    """An answer to every question; None where question and answer do not fit the training context."""
    prompts = [question + b"=" for question in questions]
    short = [i for i, prompt in enumerate(prompts) if len(prompt) + longest + 1 <= model.config.context]
    given = decoded(model, [prompts[i] for i in short], longest, batch_size)
    found: list[bytes | None] = [None] * len(prompts)
    for i, answer in zip(short, given, strict=True):
        found[i] = answer
    return found


def records(group: str, domain: str, chance: float, scores: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Metrics of a group, in percent; `chance` beside them."""
    labels = {"group": group, "domain": domain}
    rows: list[dict[str, Any]] = [{"metric": "chance", **labels, "value": 100 * chance}]
    for name, values in scores.items():
        low, high = interval(values)
        value = 100 * math.fsum(values) / len(values)
        ends = {"ci_low": 100 * low, "ci_high": 100 * high}
        rows.append({"metric": name, **labels, "value": value, **ends, "samples": len(values)})
    return rows


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Evaluate; settings: samples (test questions of each group) and batch_size (questions at a time).

    Besides the task's groups there are two, "in" and "out": all groups that training covers, and all others.

    Raises:
        UserError: the corpus is no synthetic task.
    """
    from mtp.runs import arithmetic, load_run

    task = task_of(data_dir)
    if task is None:
        raise UserError(f"{data_dir}: exact_match needs questions: a corpus of kind synthetic")
    model, _ = load_run(model_dir)
    metrics: list[dict[str, Any]] = []
    together: dict[str, list[tuple[float, dict[str, list[float]]]]] = {"in": [], "out": []}
    too_long: dict[str, int] = {}
    with arithmetic(model):
        for group in bar(task.groups, desc=f"exact_match {model_dir.name}", unit="group"):
            examples = task.examples("test", SEED, 0, settings["samples"], group)
            pairs = [examples.split(i) for i in range(len(examples))]
            given = answers(model, [question for question, _ in pairs], task.longest_answer, settings["batch_size"])
            too_long[group] = given.count(None)
            scores: dict[str, list[float]] = {}
            for (question, right), answer in zip(pairs, given, strict=True):
                for name, value in task.score(question, right, answer or b"").items():
                    scores.setdefault(name, []).append(value)
            domain = "in" if group in task.in_domain else "out"
            metrics += records(group, domain, task.chance(group), scores)
            together[domain].append((task.chance(group), scores))
    for domain, parts in together.items():
        if parts:
            pooled = {name: [v for _, scores in parts for v in scores[name]] for name in parts[0][1]}
            metrics += records(domain, domain, math.fsum(chance for chance, _ in parts) / len(parts), pooled)
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {**settings, "context": model.config.context, "too_long": {g: n for g, n in too_long.items() if n}},
    }

"""Choice tasks by likelihood over training steps: a stand-in for Figures 5 and S12 made of a corpus's held-out prose.

Four continuations of a context from the held-out text are scored by head 1, and the likeliest counts as chosen. How
the questions are made, and why chance is 25 % for whoever does not read the context, is told in
`mtp/evals/_continuations.py`. What is compared is labelled `score`:

- "likelihood": of the whole continuation;
- "likelihood per byte": the same over its length, as for the benchmarks of choices (their "acc_norm");
- "gain": the likelihood less its mean in the four contexts of the set, so that what counts is not which continuation is
  likely but which one this context makes likelier. Small models prefer the same continuation in any context; gain shows
  what they read.

Scored are the last weights and the snapshots of a run, at `training_step`; the last ones also as `training_step: last`.
Beside them stands what the frequencies of tokens in the training text choose ("unigram"): 25 % by construction.
Intervals are over sets of four questions, which share their continuations.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.config import nearest
from mtp.errors import UserError
from mtp.evals import _continuations
from mtp.evals._continuations import CHOICES, TASKS, Continuation
from mtp.progress import bar
from mtp.settings import checked, positive
from mtp.statistics import interval

if TYPE_CHECKING:
    from mtp.data.vocabulary import Vocabulary
    from mtp.model import Model

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {
    "accuracy": ("task", "score", "training_step"),
    "unigram": ("task",),
    "chance": ("task",),
}
"""What is reported, and the labels that tell its numbers apart."""
SEED = 0
"""Of the questions: not the run's, so that all runs answer the same ones."""
LAST = "last"
SCORES = ("likelihood", "likelihood per byte", "gain")
FEWEST = 2
"""Sets below which no interval could be given."""
COUNTED = 20_000_000
"""Tokens of training text whose frequencies are counted."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"tasks": list, "questions": int, "context_characters": int}, {})
    positive(found, "context_characters")
    if not found["tasks"]:
        raise UserError(f"settings: tasks: needs at least one of {', '.join(TASKS)}")
    for task in found["tasks"]:
        if task not in TASKS:
            raise UserError(f"settings: tasks: unknown {task!r}{nearest(str(task), TASKS)} (known: {', '.join(TASKS)})")
    if found["questions"] < FEWEST * CHOICES or found["questions"] % CHOICES:
        raise UserError(
            f"settings: questions: must be a multiple of {CHOICES} from {FEWEST * CHOICES} on, got {found['questions']}"
        )
    return found


def held_out(data_dir: Path, vocabulary: "Vocabulary") -> list[str]:
    """The held-out documents of a prepared folder."""
    from mtp.likelihood import text_of

    tokens_S = text_of(data_dir, "valid", vocabulary)
    starts = np.load(data_dir / "valid.offsets.npy")
    return [
        vocabulary.decode(tokens_S[start : end - 1]).decode(errors="replace")
        for start, end in zip(starts, [*starts[1:], len(tokens_S)], strict=True)
    ]


def encoded(
    asked: Sequence[tuple[Continuation, ...]], vocabulary: "Vocabulary", context: int
) -> list[tuple[np.ndarray, int]]:
    """Tokens of every context with every continuation of its set, and where the continuation begins.

    Contexts lose tokens on the left where both do not fit; context and continuation are encoded on their own.
    """
    from mtp.generate import shortened

    begin_S, found = vocabulary.begin(""), []
    for one in asked:
        texts = [vocabulary.encode(choice.text)[: context - 1] for choice in one]
        for question in one:
            before = vocabulary.begin(question.context)
            for text in texts:
                kept = shortened(before, context - len(text), begin_S)
                found.append((np.concatenate([kept, text]), len(kept)))
    return found


def chosen(likelihood_QCC: np.ndarray, bytes_QC: np.ndarray) -> dict[str, np.ndarray]:
    """Score -> float64 [Q]: the share of its four questions that each set gets right.

    Args:
        likelihood_QCC: nats of every set Q, context and continuation; the right answers are on the diagonal.
        bytes_QC: lengths of the continuations.
    """
    scored = {
        "likelihood": likelihood_QCC,
        "likelihood per byte": likelihood_QCC / bytes_QC[:, None],
        "gain": likelihood_QCC - likelihood_QCC.mean(1, keepdims=True),
    }
    return {name: (s_QCC.argmax(2) == np.arange(CHOICES)).mean(1) for name, s_QCC in scored.items()}


def accuracy(labels: Mapping[str, Any], right_Q: np.ndarray) -> dict[str, Any]:
    """An accuracy in percent with its interval over sets."""
    value, low, high = interval([right_Q])
    numbers = {"value": 100 * value, "ci_low": 100 * low, "ci_high": 100 * high}
    return {"metric": "accuracy", **labels, **numbers, "problems": CHOICES * len(right_Q)}


def unigram(asked: Sequence[tuple[Continuation, ...]], vocabulary: "Vocabulary", counts_V: np.ndarray) -> np.ndarray:
    """Nats [Q, C, C] of the continuations by the frequencies of tokens in the training text."""
    nats_V = np.log(counts_V + 1) - math.log(float(counts_V.sum()) + len(counts_V))
    nats_QC = np.array([[nats_V[vocabulary.encode(choice.text)].sum() for choice in one] for one in asked])
    return np.repeat(nats_QC[:, None], CHOICES, axis=1)


def answers(model: "Model", sequences: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Nats [Q, C, C] of every continuation in every context of its set, by head 1."""
    from mtp.evals._references import token_nats

    nats = [-float(part.sum()) for part in token_nats(model, sequences, model.config.context)]
    found = np.array(nats).reshape(-1, CHOICES, CHOICES)
    if not np.isfinite(found).all():
        raise FloatingPointError("choices: a likelihood is not a finite number")
    return found


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: tasks (of `TASKS`), questions (of each task, at most) and context_characters.

    Raises:
        UserError: missing files, or too little held-out prose to ask about.
    """
    from safetensors.torch import load_file

    from mtp import snapshots
    from mtp.data.vocabulary import Vocabulary
    from mtp.likelihood import text_of
    from mtp.runs import arithmetic, load_run

    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    documents = held_out(data_dir, vocabulary)
    asked: dict[str, list[tuple[Continuation, ...]]] = {}
    metrics: list[dict[str, Any]] = []
    counts_V = np.bincount(text_of(data_dir, "train", vocabulary)[:COUNTED], minlength=vocabulary.size)
    for task in settings["tasks"]:
        wanted = settings["questions"] // CHOICES
        asked[task] = _continuations.sets(documents, task, wanted, settings["context_characters"], SEED)
        if len(asked[task]) < FEWEST:
            raise UserError(f"{data_dir}: too little held-out prose for {FEWEST * CHOICES} questions ({task})")
        metrics.append({"metric": "chance", "task": task, "value": 100 / CHOICES})
    kept = {step: snapshots.path(model_dir, step) for step in sorted(snapshots.steps(config))}
    if not snapshots.found(model_dir, config):
        kept = {}
    sequences = {task: encoded(sets, vocabulary, config.context) for task, sets in asked.items()}
    lengths = {task: np.array([[len(c.text.encode()) for c in one] for one in sets]) for task, sets in asked.items()}
    for task, sets in asked.items():
        right = chosen(unigram(sets, vocabulary, counts_V), lengths[task])["likelihood"]
        metrics.append({**accuracy({"task": task}, right), "metric": "unigram"})
    with arithmetic(model):
        for step in bar([config.steps, *kept], desc=f"choices {model_dir.name}", unit="weights"):
            if step != config.steps:
                model.load_state_dict(load_file(kept[step]))
            for task in settings["tasks"]:
                for score, right_Q in chosen(answers(model, sequences[task]), lengths[task]).items():
                    labels = {"task": task, "score": score}
                    metrics.append(row := accuracy({**labels, "training_step": step}, right_Q))
                    if step == config.steps:
                        metrics.append({**row, "training_step": LAST})
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {
            **settings,
            "context": config.context,
            "questions": {task: CHOICES * len(sets) for task, sets in asked.items()},
            "snapshots": list(kept),
        },
    }

"""Bits per byte and top-1 accuracy of every head: on held-out code, and on HumanEval's reference solutions.

The second text is what pass@k would measure if the model were large enough to pass anything: the solution,
given its prompt. Almost every token is scored with at least half a context before it: windows over a solution
overlap by half, and windows spread over the held-out text score their second half.

Of a synthetic corpus there are only held-out examples. Where there are several heads, the difference of two neighbours
tells how much a token says about the one behind it (Section 5.2 of the paper): head 2 predicts Y without having seen X,
head 1 one place later has seen it, so their cross-entropies differ by the model's estimate of I(X; Y).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.data.examples import task_of
from mtp.problems import humaneval
from mtp.progress import bar
from mtp.settings import checked, positive

if TYPE_CHECKING:
    from mtp.data.vocabulary import Vocabulary
    from mtp.likelihood import Score

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("bits_per_byte", "accuracy", "mutual_information"), ("text", "head")
)
"""What is reported, and the labels that tell its numbers apart."""
HELD_OUT, REFERENCES = "held-out code", "HumanEval references"
HELD_OUT_EXAMPLES = "held-out examples"


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"limit_bytes": int, "batch_size": int}, {"references": int})
    positive(found, "limit_bytes", "batch_size", "references")
    return found


def reference_sequences(vocabulary: "Vocabulary", count: int | None = None) -> list[tuple[np.ndarray, int]]:
    """Tokens of prompt and solution, and where the solution starts, of the first `count` problems (default: all).

    Both are encoded on their own, as in sampling: the model is never shown a token that spans the border.
    """
    found = []
    for problem in humaneval.load()[:count]:
        prompt, solution = vocabulary.begin(problem.prompt), vocabulary.encode(problem.reference)
        found.append((np.concatenate([prompt, solution]), len(prompt)))
    return found


def records(text: str, found: "Score") -> list[dict[str, Any]]:
    """Metrics of every head; `mutual_information`, in bits per token, from the second on."""
    rows: list[dict[str, Any]] = []
    bits_N = found.nats_N / math.log(2) / np.maximum(found.tokens_N, 1)
    for i in range(len(found.nats_N)):
        counts = {"tokens": int(found.tokens_N[i]), "bytes": int(found.bytes_N[i])}
        values = {"bits_per_byte": float(found.bits_per_byte_N[i]), "accuracy": 100 * float(found.accuracy_N[i])}
        if i:
            values["mutual_information"] = float(bits_N[i] - bits_N[i - 1])
        for metric, value in values.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"{text}: head {i + 1}: {metric} is {value}")
            rows.append({"metric": metric, "text": text, "head": i + 1, "value": value, **counts})
    return rows


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Evaluate; settings: limit_bytes (held-out text to score, in bytes), batch_size (windows), references (only the
    first so many of HumanEval's).

    Raises:
        UserError: missing files.
    """
    from mtp.data.vocabulary import Vocabulary
    from mtp.likelihood import held_out_windows, score
    from mtp.runs import arithmetic, load_run

    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    stride = max(1, config.context // 2)
    held_out = held_out_windows(data_dir, vocabulary, config.context, settings["limit_bytes"])
    if task_of(data_dir) is None:
        texts = {HELD_OUT: held_out, REFERENCES: reference_sequences(vocabulary, settings.get("references"))}
    else:
        texts = {HELD_OUT_EXAMPLES: held_out}
    metrics: list[dict[str, Any]] = []
    with arithmetic(model):
        for text, sequences in bar(texts.items(), desc=f"likelihood {model_dir.name}", unit="text"):
            metrics += records(text, score(model, sequences, vocabulary.byte_lengths, stride, settings["batch_size"]))
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {**settings, "context": config.context, "stride": stride},
    }

"""ROUGE of greedy answers on the test examples of a finetuning set (Section 3.7, Figure 6, Tables S8 to S10).

ROUGE-1, 2, 3, L and Lsum, each as F1, precision and recall in percent, by the package rouge-score with its own
tokenizer (Latin letters and digits only, so texts in other scripts score near zero, as the paper's do); Lsum takes
lines for sentences. Intervals are over examples. Beside it stand `chance`, the score of the right answers to other
questions, and `unmatched`, that of the model's own answers to other questions: a model that does not read its question
scores the same there. `preference` is the finer measure for such models: the share of other questions that make the
right answer less likely than its own question does.

As in the paper the epoch with the best ROUGE-L F1 on the validation examples is chosen ("best epoch"): epochs are the
snapshots of the run and its last weights. The last epoch is reported too ("last"). The paper does not name its package,
its options or its decoding; Porter's stemmer (`use_stemmer`) is ours to choose.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtp import finetuning
from mtp.errors import UserError
from mtp.problems import Unavailable
from mtp.settings import checked, positive

if TYPE_CHECKING:
    import numpy as np

    from mtp.data.vocabulary import Vocabulary
    from mtp.model import Model

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {
    "rouge": ("weights", "rouge", "aspect"),
    "unmatched": ("weights", "rouge", "aspect"),
    "chance": ("rouge", "aspect"),
    "preference": ("weights",),
    "answer_bits_per_byte": ("weights",),
    "evaluation_epoch": (),
    "validation_rouge": ("epoch",),
}
"""What is reported, and the labels that tell its numbers apart."""
KINDS = {
    "ROUGE-1": "rouge1", "ROUGE-2": "rouge2", "ROUGE-3": "rouge3", "ROUGE-L": "rougeL", "ROUGE-Lsum": "rougeLsum"
}  # fmt: skip
"""Name in results, as the paper's -> name in the package."""
ASPECTS = {"f1": "fmeasure", "precision": "precision", "recall": "recall"}
CHOSEN_BY = ("ROUGE-L", "f1")
"""What chooses the epoch."""
SHOWN = 10
"""Answers of the last weights that the result quotes."""
SHIFTS = 4
"""Other questions whose answers every example is compared with."""

Scores = Mapping[tuple[str, str], "np.ndarray"]
"""(kind, aspect) -> a score per example, 0 to 1."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    required: dict[str, type] = {"max_tokens": int, "batch_size": int, "use_stemmer": bool}
    found = checked(settings, required, {"examples": int, "validation_examples": int})
    positive(found, "max_tokens", "batch_size", "validation_examples")
    if found.get("examples", 2) < 2:
        raise UserError("settings: examples: must be at least 2 (the interval is over examples)")
    return found


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the package is missing."""
    try:
        import rouge_score  # noqa: F401
    except ImportError:
        raise Unavailable("the package rouge-score is not installed; requirements.txt names its version") from None


def scores(answers: Sequence[str], references: Sequence[str], use_stemmer: bool) -> Scores:
    """Every kind and aspect of every pair."""
    import numpy as np
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(KINDS.values()), use_stemmer=use_stemmer)
    found = [scorer.score(reference, answer) for answer, reference in zip(answers, references, strict=True)]
    return {
        (kind, aspect): np.array([getattr(one[theirs], attribute) for one in found])
        for kind, theirs in KINDS.items()
        for aspect, attribute in ASPECTS.items()
    }


def unmatched(answers: Sequence[str], references: Sequence[str], use_stemmer: bool) -> Scores:
    """Scores of answers to other examples, averaged over up to `SHIFTS` others of each example."""
    import numpy as np

    shifts = range(1, 1 + min(SHIFTS, len(references) - 1))
    each = [scores([*answers[shift:], *answers[:shift]], references, use_stemmer) for shift in shifts]
    return {key: np.mean([one[key] for one in each], axis=0) for key in each[0]}


@dataclasses.dataclass(frozen=True)
class Answerer:
    """A model that answers questions greedily, whatever weights it has just been given."""

    model: "Model"
    vocabulary: "Vocabulary"
    settings: Mapping[str, Any]

    def answers(self, examples: Sequence[finetuning.Example]) -> list[str]:
        """Up to the end of the document or `max_tokens`; white space around it is dropped."""
        from mtp import cpu
        from mtp.generate import Request, Sampling, generate
        from mtp.runs import arithmetic

        requests = [Request(i, 0, self.vocabulary.begin(example.question)) for i, example in enumerate(examples)]
        sampling = Sampling(max_tokens=self.settings["max_tokens"])
        with arithmetic(self.model), cpu.small_products():
            found = generate(self.model, self.vocabulary, requests, sampling, self.settings["batch_size"])
            return [sample.text.strip() for sample in sorted(found, key=lambda sample: sample.problem)]

    def preference(self, examples: Sequence[finetuning.Example]) -> tuple[float, "np.ndarray"]:
        """Bits per byte of the right answers, and per example the percent of other questions that make its right answer
        less likely (50 if the question does not matter; questions as in `unmatched`)."""
        import math

        import numpy as np

        from mtp.evals._references import rank, token_nats
        from mtp.runs import arithmetic

        questions = [self.vocabulary.begin(example.question) for example in examples]
        answers = [self.vocabulary.encode(example.answer) for example in examples]
        places = range(min(SHIFTS, len(examples) - 1) + 1)
        pairs = [
            (questions[(i + shift) % len(examples)], answer) for i, answer in enumerate(answers) for shift in places
        ]
        joined = [(np.concatenate(pair), len(pair[0])) for pair in pairs]
        with arithmetic(self.model):
            nats = token_nats(self.model, joined, max(1, self.model.config.context // 2))
        nats_EP = np.array([found.sum() for found in nats]).reshape(len(examples), len(places))
        size = sum(len(example.answer.encode()) for example in examples)
        ranks_E = np.array([rank(own, others) for own, *others in nats_EP.tolist()])
        return float(nats_EP[:, 0].sum()) / math.log(2) / size, ranks_E


def references_of(examples: Sequence[finetuning.Example]) -> list[str]:
    """The right answers, without white space around them."""
    return [example.answer.strip() for example in examples]


def rows_of(found: Scores, **labels: Any) -> list[dict[str, Any]]:
    """Means in percent with their intervals over examples."""
    from mtp.statistics import interval

    rows = []
    for (kind, aspect), values in found.items():
        value, low, high = (100 * number for number in interval([values]))
        rows.append(
            {**labels, "rouge": kind, "aspect": aspect, "value": value, "ci_low": low, "ci_high": high,
             "examples": len(values)}
        )  # fmt: skip
    return rows


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: max_tokens of an answer, batch_size (answers in the making), use_stemmer; examples and
    validation_examples (only the first so many).

    Raises:
        UserError: missing files, or data that are no finetuning set.
    """
    from safetensors.torch import load_file

    from mtp import snapshots
    from mtp.data.vocabulary import Vocabulary
    from mtp.runs import WEIGHTS, load_run
    from mtp.statistics import interval

    asked = finetuning.read(data_dir, "test")[: settings.get("examples")]
    held_out = finetuning.read(data_dir, "valid")[: settings.get("validation_examples")]
    model, config = load_run(model_dir)
    answerer = Answerer(model, Vocabulary.load(data_dir), settings)
    stem, references, known = settings["use_stemmer"], references_of(asked), references_of(held_out)
    answers = answerer.answers(asked)
    rows = rows_of(scores(answers, references, stem), metric="rouge", weights="last")
    rows += rows_of(unmatched(answers, references, stem), metric="unmatched", weights="last")
    rows += rows_of(unmatched(references, references, stem), metric="chance")
    bits, ranks_E = answerer.preference(asked)
    value, low, high = interval([ranks_E])
    rows.append({"metric": "preference", "weights": "last", "value": value, "ci_low": low, "ci_high": high})
    rows.append({"metric": "answer_bits_per_byte", "weights": "last", "value": bits})
    kept = snapshots.found(model_dir, config)
    if kept:
        epochs = [*kept, model_dir / WEIGHTS]
        validated = []
        for weights in epochs:
            model.load_state_dict(load_file(weights))
            validated.append(100 * float(scores(answerer.answers(held_out), known, stem)[CHOSEN_BY].mean()))
        best = max(range(len(epochs)), key=lambda i: (round(validated[i], 9), -i))  # the first of equals
        model.load_state_dict(load_file(epochs[best]))
        rows += rows_of(scores(answerer.answers(asked), references, stem), metric="rouge", weights="best epoch")
        rows.append({"metric": "evaluation_epoch", "value": best + 1})
        rows += [{"metric": "validation_rouge", "epoch": i + 1, "value": value} for i, value in enumerate(validated)]
    else:
        reason = "not evaluated: the run kept no snapshots of its weights"
        rows += [{**row, "weights": "best epoch", "value": None, "ci_low": None, "ci_high": None, "reason": reason}
                 for row in rows if row["metric"] == "rouge"]  # fmt: skip
        rows.append({"metric": "evaluation_epoch", "value": None, "reason": reason})
    return {
        "status": "measured",
        "reason": "",
        "metrics": rows,
        "answers": [
            {"question": one.question, "reference": reference, "answer": answer}
            for one, reference, answer in list(zip(asked, references, answers, strict=True))[:SHOWN]
        ],
        "settings": {**settings, "decoding": "greedy", "chosen_by": " ".join(CHOSEN_BY), "epochs": len(kept) + 1},
    }

"""Our models in the `lm-eval` harness: log-likelihoods and generation by head 1, for benchmarks of natural language.

    python -m mtp.lm_eval --run results/gpu/runs/RUN --tasks piqa,hellaswag --out piqa.json
    python -m mtp.lm_eval --run RUN --tasks my_task --include my_tasks     # a task of yours: YAML, data from files

The harness is an optional extra (requirements-lm-eval.txt), and most of its tasks read data sets of the hub. What they
ask is the harness's business: prompts, shots, stop strings, metrics. What is answered is ours:

- context and continuation are encoded on their own, white space at the end of the context going to the continuation;
- a text longer than the training context loses its beginning; a continuation longer than it is scored in windows
  that overlap by half; what starts with nothing starts behind a separator, as documents do;
- generation ends at a stop string, at the end of a document, at the training context or at the task's limit.

`Scorer` does the work and knows nothing of the harness, `adapter` makes it an `lm_eval.api.model.LM`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.atomic import write_text
from mtp.errors import UserError
from mtp.problems import Unavailable, _hub

if TYPE_CHECKING:
    from mtp.data.vocabulary import Vocabulary
    from mtp.model import Model

REMEDY = "python -m pip install --no-deps -r requirements-lm-eval.txt adds it to this environment"
MAX_TOKENS = 256
"""Tokens to generate where a task sets no limit, as in the harness."""
TOKENS_TOGETHER = 16384
"""Inputs of one batch of scored texts."""


def require(hub: bool = True) -> None:
    """Whether the harness and the data of its tasks can be had.

    Args:
        hub: whether the tasks' data come from the hub.

    Raises:
        Unavailable: they cannot; says why and what helps.
    """
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise Unavailable(f"lm-eval cannot be imported ({error}); {REMEDY}") from None
    if hub and (reason := _hub.no_hub()):
        raise Unavailable(f"the tasks' data are on the hub, and there is no network ({reason})")


class Scorer:
    """Scores and continues texts with head 1 of a model."""

    def __init__(self, model: "Model", vocabulary: "Vocabulary", batch_size: int) -> None:
        """`batch_size`: completions in the making at a time."""
        self.model, self.vocabulary, self.batch_size = model, vocabulary, batch_size

    def _pair(self, context: str, continuation: str) -> tuple[np.ndarray, int]:
        """Tokens of both, and where the continuation begins; at least one token stands before it."""
        kept = context.rstrip()
        before = self.vocabulary.begin(kept) if kept else np.array([self.vocabulary.separator])
        text = self.vocabulary.encode(context[len(kept) :] + continuation)
        most = self.model.config.context + 1
        tokens_S = np.concatenate([before, text])
        if len(text) < most:
            tokens_S = tokens_S[-most:]
        return tokens_S, len(tokens_S) - len(text)

    def likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Of every (context, continuation) the log-likelihood in nats, and whether greedy decoding gives it."""
        return self._scored([self._pair(*pair) for pair in pairs])

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Log-likelihoods of whole texts in nats."""
        start = [self.vocabulary.separator]
        sequences = [(np.concatenate([start, self.vocabulary.encode(text)]).astype(np.int64), 1) for text in texts]
        return [nats for nats, _ in self._scored(sequences)]

    def _scored(self, sequences: Sequence[tuple[np.ndarray, int]]) -> list[tuple[float, bool]]:
        import torch
        import torch.nn.functional as F

        from mtp.cross_entropy import IGNORED
        from mtp.evals._references import states
        from mtp.likelihood import windows
        from mtp.runs import arithmetic

        context = self.model.config.context
        device = next(self.model.parameters()).device
        nats, greedy = [0.0] * len(sequences), [True] * len(sequences)
        cut: list[tuple[int, Any, Any]] = []
        for i, (tokens_S, first) in enumerate(sequences):
            for window_S, targets_T1 in windows(tokens_S, first, context, max(1, context // 2), 1):
                length = int((targets_T1[:, 0] != IGNORED).nonzero().max()) + 1
                cut.append((i, window_S[:length], targets_T1[:length, 0]))
        cut.sort(key=lambda one: len(one[1]))
        with arithmetic(self.model), torch.inference_mode():
            for batch in _batches(cut):
                pad = torch.nn.utils.rnn.pad_sequence
                inputs_BT = pad([one[1] for one in batch], batch_first=True).to(device)
                targets_BT = pad([one[2] for one in batch], batch_first=True, padding_value=IGNORED).to(device)
                scored_BT = targets_BT != IGNORED
                logits_MV = self.model.logits(0, states(self.model, inputs_BT)[scored_BT]).float()
                targets_M = targets_BT[scored_BT]
                nats_M = F.cross_entropy(logits_MV, targets_M, reduction="none").double().cpu().numpy()
                right_M = (logits_MV.argmax(-1) == targets_M).cpu().numpy()
                ends = np.cumsum(scored_BT.sum(-1).cpu().numpy())[:-1]
                for (i, *_), part, right in zip(batch, np.split(nats_M, ends), np.split(right_M, ends), strict=True):
                    nats[i] -= float(part.sum())
                    greedy[i] &= bool(right.all())
        return list(zip(nats, greedy, strict=True))

    def until(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """Continuations of prompts, each with settings: until, max_gen_toks, do_sample, temperature, top_p."""
        from mtp.generate import Request, Sampling, generate
        from mtp.runs import arithmetic

        alike: dict[Sampling, list[int]] = {}
        for i, (_, settings) in enumerate(asked):
            alike.setdefault(_sampling(settings, self.model.config.seed), []).append(i)
        found = [""] * len(asked)
        for sampling, members in alike.items():
            prompts = {i: self.vocabulary.begin(asked[i][0]) for i in members}
            start = np.array([self.vocabulary.separator])
            requests = [Request(i, 0, prompt if len(prompt) else start) for i, prompt in prompts.items()]
            with arithmetic(self.model):
                for sample in generate(self.model, self.vocabulary, requests, sampling, self.batch_size):
                    found[sample.problem] = sample.text
        return found


def _sampling(settings: Mapping[str, Any], seed: int) -> Any:
    """The harness's settings of a completion as `mtp.sampling.Sampling`."""
    from mtp.sampling import Sampling

    stops = settings.get("until") or ()
    greedy = not settings.get("do_sample", settings.get("temperature", 0) > 0)
    return Sampling(
        temperature=0.0 if greedy else float(settings.get("temperature", 1.0)),
        top_p=float(settings.get("top_p", 1.0)),
        max_tokens=int(settings.get("max_gen_toks", MAX_TOKENS)),
        stops=(stops,) if isinstance(stops, str) else tuple(stop for stop in stops if stop),
        seed=seed,
    )


def _batches(sorted_by_length: list[tuple[int, Any, Any]]) -> Iterator[list[tuple[int, Any, Any]]]:
    """From the longest on, about `TOKENS_TOGETHER` inputs at a time."""
    rest = list(sorted_by_length)
    while rest:
        count = max(1, TOKENS_TOGETHER // len(rest[-1][1]))
        yield rest[-count:]
        del rest[-count:]


def adapter(scorer: Scorer) -> Any:
    """The scorer as the harness wants its models: an `lm_eval.api.model.LM`."""
    from lm_eval.api.model import LM

    class Adapter(LM):  # type: ignore[misc]
        """Requests in, answers out in their order."""

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            return scorer.likelihoods([request.args for request in requests])

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            return scorer.rolling([request.args[0] for request in requests])

        def generate_until(self, requests: list[Any]) -> list[str]:
            return scorer.until([request.args for request in requests])

    return Adapter()


def evaluate(
    scorer: Scorer, tasks: Sequence[str], include: str = "", shots: int | None = None, limit: int | None = None
) -> dict[str, dict[str, float]]:
    """Run tasks of the harness: task -> metric -> value, metrics without the names of their filters.

    Args:
        tasks: names of the harness's, or of files in `include`.
        include: folder with further tasks.
        shots: examples before each question; None leaves it to the task.
        limit: at most so many questions of each task; None takes all.

    Raises:
        Unavailable: the harness is not installed, or there is no hub and no folder of tasks.
        UserError: a task that is unknown, or whose data cannot be loaded.
    """
    require(hub=not include)
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=include or None)
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise UserError(f"--tasks: lm-eval knows no task {', '.join(unknown)}")
    try:
        found = lm_eval.simple_evaluate(
            model=adapter(scorer), tasks=list(tasks), num_fewshot=shots, limit=limit, task_manager=manager,
            bootstrap_iters=0, log_samples=False,
        )  # fmt: skip
    except (OSError, ValueError, ConnectionError) as error:  # what its loaders of data raise
        raise UserError(f"lm-eval: {(str(error).strip() or type(error).__name__).splitlines()[0]}") from None
    return {
        task: {
            key.split(",")[0]: float(value)
            for key, value in numbers.items()
            if isinstance(value, int | float) and "," in key and "_stderr" not in key
        }
        for task, numbers in found["results"].items()
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.lm_eval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--tasks", required=True, help="names of tasks, with commas between them")
    parser.add_argument("--data", type=Path, help="prepared folder of the run (default: the one in results/data)")
    parser.add_argument("--include", default="", metavar="FOLDER", help="further tasks; then the hub is not asked for")
    parser.add_argument("--shots", type=int, help="examples before each question (default: the task's)")
    parser.add_argument("--limit", type=int, help="at most so many questions of each task (default: all)")
    parser.add_argument("--batch-size", type=int, default=64, help="completions side by side (default: 64)")
    parser.add_argument("--out", type=Path, help="JSON file to write (default: print)")
    args = parser.parse_args(argv)
    try:
        require(hub=not args.include)
        from mtp.data.vocabulary import Vocabulary
        from mtp.runs import load_run

        model, config = load_run(args.run)
        data = args.data or Path("results/data") / config.corpus / config.vocabulary
        scorer = Scorer(model, Vocabulary.load(data), args.batch_size)
        found = evaluate(scorer, args.tasks.split(","), args.include, args.shots, args.limit)
    except (UserError, Unavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    text = json.dumps({"run": config.name(), "results": found}, indent=1) + "\n"
    if args.out:
        write_text(args.out, text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

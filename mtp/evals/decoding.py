"""Self-speculative decoding (Section 3.2, Tables S2 and S3, Figure S10): tokens per forward, speed and its limit.

The same prompts are continued with 1, 2, ... heads in turns, in a new random order every round. A time is that of one
thread's CPU, or of the GPU, prompts included; a speed is tokens per second over that of plain decoding (one head, which
computes nothing of the others) within a round. Greedy text must be that of plain decoding: a difference is a tie if the
two tokens' logits are closer than rounding can tell apart, else the evaluation fails.

Definitions, for k heads:
    tokens_per_forward  tokens that came out / passes over a row, without the prompt's pass and the token it gives;
                        what is computed behind an end counts as work, not as tokens
    acceptance          drafts of head i accepted together with all before them / drafts of head i
    round_cost          time of a pass with drafts / time of a plain step: speculation pays while
                        tokens_per_forward is larger
    bound               tokens_per_forward / (weights that a pass reads / weights that a plain step reads)
    kept_heads          heads that the decoder has chosen by trial, one where drafts do not pay (`heads_used: chosen`)
    calibration_share   time of that trial, in % of the time that it then takes to continue all prompts once; the other
                        numbers of `chosen` are without it
    calibration_speed   tokens per second during the trial over those of plain decoding: its text counts, too
    tokens_per_forward_argmax, tokens_per_forward_typical
                        with the most probable token of every head as its draft instead of a sampled one; with typical
                        acceptance, which does not keep the law of plain decoding
"""

import dataclasses
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp import floors
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.progress import bar
from mtp.settings import checked, positive

if TYPE_CHECKING:
    from torch import Tensor

    from mtp.data.vocabulary import Vocabulary
    from mtp.generate import Pace, Request, Sample, Sampling, Speculation, Tally
    from mtp.model import Model

VERSION = 2
_OF_CALLS = ("heads_used", "batch", "temperature")
_NAMES = (
    "tokens_per_forward", "tokens_per_forward_argmax", "tokens_per_forward_typical", "tokens_per_second",
    "relative_speed", "round_cost", "round_floor", "bound", "share_of_bound", "kept_heads", "calibration_share",
    "calibration_speed",
)  # fmt: skip
METRICS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_NAMES, _OF_CALLS),
    "acceptance": ("head", *_OF_CALLS),
    "numerical_ties": (),
}
"""What is reported, and the labels that tell its numbers apart."""
CHOSEN = "chosen"
TIE = 256
"""Units in the last place between the logits of two tokens that rounding may confuse: a few layers' worth."""
WARM_TOKENS = 6
SCORED_BYTES, COUNTED_TOKENS = 10_000, 2_000_000
"""Held-out text, and training text, that tell whether a head knows anything."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(
        settings,
        {
            "prompts": int,
            "prompt_tokens": int,
            "new_tokens": int,
            "batch_sizes": list,
            "temperatures": list,
            "rounds": int,
        },
        {"top_p": float, "guard": bool},
    )
    positive(found, "prompts", "prompt_tokens", "new_tokens", "rounds")
    for key, least in (("batch_sizes", 1), ("temperatures", 0)):
        if not found[key] or any(not isinstance(v, int | float) or v < least for v in found[key]):
            raise UserError(f"settings: {key}: needs numbers of at least {least}, got {found[key]}")
    return {"top_p": 1.0, "guard": True, **found}


def heads_used(n: int) -> list[int]:
    """The numbers of heads that are measured: all up to 4, then as in Table S3."""
    return sorted({k for k in (1, 2, 3, 4, *range(8, n + 1, 4), n) if k <= n and (k != 3 or n <= 4)})


def prompts(data_dir: Path, vocabulary: "Vocabulary", count: int, tokens: int) -> list[np.ndarray]:
    """Windows spread evenly over the held-out text.

    Raises:
        UserError: it is too short.
    """
    from mtp.likelihood import text_of

    text_S = text_of(data_dir, "valid", vocabulary)
    if len(text_S) < count + tokens:
        raise UserError(f"{data_dir}/valid.bin: {len(text_S)} tokens are too few for {count} prompts of {tokens}")
    starts = np.linspace(0, len(text_S) - tokens, count).astype(np.int64)
    return [np.asarray(text_S[start : start + tokens], dtype=np.int64) for start in starts]


class Arm:
    """Prompts continued in one way."""

    def __init__(self, label: int | str, speculation: "Speculation", pace: "Pace | None" = None) -> None:
        self.label, self.speculation, self.pace = label, speculation, pace
        self.trial = (0, 0.0)
        """Tokens and seconds of the trial of a `pace`."""
        self.seconds: list[float] = []
        self.tokens = 0
        self.tally: Tally
        self.samples: dict[int, Sample] = {}


@dataclasses.dataclass(frozen=True)
class Course:
    """What all arms of a race have in common."""

    model: "Model"
    vocabulary: "Vocabulary"
    requests: "list[Request]"
    sampling: "Sampling"
    rows: int

    def once(self, arm: Arm) -> None:
        """Continue all prompts and note the time."""
        from mtp.generate import Tally, generate
        from mtp.measures.step_time import seconds_of

        arm.tally = Tally()

        def work() -> None:
            options = (self.rows, arm.speculation, arm.tally, arm.pace)
            done = generate(self.model, self.vocabulary, self.requests, self.sampling, *options)
            arm.samples = {sample.problem: sample for sample in done}

        arm.seconds.append(seconds_of(work, next(self.model.parameters()).device))
        arm.tokens = sum(len(sample.tokens) for sample in arm.samples.values())

    def race(self, arms: list[Arm], rounds: int, progress: Callable[[], object]) -> None:
        """Every arm untimed with a few tokens, then in turns with all, in a new order every round."""
        sampling = dataclasses.replace(self.sampling, max_tokens=WARM_TOKENS)
        first = dataclasses.replace(self, requests=self.requests[: self.rows], sampling=sampling)
        for arm in arms:
            if arm.pace:
                self.calibrate(arm, arm.pace)
            else:
                first.once(arm)
            arm.seconds.clear()
        order, shuffle = list(arms), random.Random(0)
        for _ in range(rounds):
            shuffle.shuffle(order)
            for arm in order:
                self.once(arm)
            progress()

    def calibrate(self, arm: Arm, pace: "Pace") -> None:
        """Continue whole batches of prompts until the pace has made its choice."""
        tokens, trial = 0, pace.at(arm.speculation.heads, self.rows)
        whole = dataclasses.replace(self, requests=self.requests[: len(self.requests) // self.rows * self.rows])
        while not trial.left:
            whole.once(arm)
            tokens += arm.tokens
            if not arm.tally.rounds:  # texts that end with their first token tell nothing
                break
        arm.trial = (tokens, sum(arm.seconds))

    def differences(self, arms: list[Arm]) -> list[dict[str, Any]]:
        """Where greedy text is not that of the first arm."""
        found = []
        for arm in arms[1:]:
            for i, sample in sorted(arm.samples.items()):
                plain = arms[0].samples[i].tokens
                if sample.tokens != plain:
                    told = difference(self.model, self.requests[i].prompt, plain, sample.tokens)
                    found.append({"batch": self.rows, "heads_used": arm.label, "prompt": i, **told})
        return found


def ignorant_head(model: "Model", data_dir: Path, vocabulary: "Vocabulary") -> str:
    """Why a head's drafts mean nothing: it predicts held-out text no better than the frequencies of tokens in the
    training text do. Empty if all heads know more."""
    from mtp.likelihood import held_out_score, held_out_windows, text_of

    found = held_out_score(model, data_dir, vocabulary, SCORED_BYTES)
    windows = held_out_windows(data_dir, vocabulary, model.config.context, SCORED_BYTES)
    scored = np.concatenate([tokens_S[first:] for tokens_S, first in windows])
    text_S = text_of(data_dir, "train", vocabulary)[:COUNTED_TOKENS]
    counts_V = np.bincount(text_S, minlength=vocabulary.size) + 1
    frequencies = float(-np.log(counts_V / counts_V.sum())[scored].mean())
    for head, nats in enumerate(found.nats_N / np.maximum(found.tokens_N, 1), 1):
        if nats >= frequencies:
            return (
                f"head {head} is at chance: {nats:.2f} nats per token on held-out text, where the frequencies of tokens"
                f" alone give {frequencies:.2f}; its drafts would measure nothing"
            )
    return ""


def difference(model: "Model", prompt: np.ndarray, plain: list[int], other: list[int]) -> dict[str, Any]:
    """Where two greedy continuations part, and how far apart the logits of the two tokens are."""
    import torch

    at = next((t for t, (a, b) in enumerate(zip(plain, other, strict=False)) if a != b), min(len(plain), len(other)))
    if at == min(len(plain), len(other)):
        return {"token": at, "ulps": math.inf}
    with torch.inference_mode():
        window = torch.tensor([*prompt.tolist(), *plain[:at]], device=next(model.parameters()).device)
        logits_V: Tensor = model(window[None])[0, -1]
    pair = logits_V[[plain[at], other[at]]]
    unit = torch.finfo(pair.dtype).eps * float(pair.abs().max())
    return {"token": at, "plain": plain[at], "other": other[at], "ulps": float((pair[0] - pair[1]).abs()) / unit}


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: prompts (per batch size, at least one and a half batches), prompt_tokens, new_tokens, batch_sizes,
    temperatures, top_p, rounds, and guard (false: measure even heads that are at chance).

    The speed is measured greedily at every batch size; sampling gives tokens per forward only. They do not depend on
    the rows decoded side by side: all prompts of the smallest batch size (`batch`) go together (`rows`).

    Raises:
        UserError: missing files, a text that is too short, prompts that leave no room in the context.
    """
    from mtp import cpu
    from mtp.data.vocabulary import Vocabulary
    from mtp.runs import arithmetic, load_run

    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    if settings["prompt_tokens"] + settings["new_tokens"] > config.context:
        raise UserError(
            f"settings: new_tokens: {settings['new_tokens']} behind prompt_tokens: {settings['prompt_tokens']}"
            f" do not fit the context of {config.context}"
        )
    if config.layout.reads_ahead:
        return _nothing(f"heads of the {config.heads} layout read the tokens ahead of them and cannot draft", settings)
    with arithmetic(model), cpu.small_products():
        if settings["guard"] and (reason := ignorant_head(model, data_dir, vocabulary)):
            return _nothing(reason, settings)
        return _measured(model, config, data_dir, vocabulary, settings)


def _nothing(reason: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"status": "unavailable", "reason": reason, "metrics": [], "settings": settings}


def _measured(
    model: "Model", config: RunConfig, data_dir: Path, vocabulary: "Vocabulary", settings: dict[str, Any]
) -> dict[str, Any]:
    from mtp.generate import Pace, Request, Sampling, Speculation

    metrics: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    sizes, warm = sorted(settings["batch_sizes"]), [t for t in settings["temperatures"] if t > 0]

    n = config.n_future

    def course(rows: int, sampling: Sampling) -> Course:
        texts = prompts(data_dir, vocabulary, max(settings["prompts"], 3 * rows // 2), settings["prompt_tokens"])
        requests = [Request(i, 0, prompt) for i, prompt in enumerate(texts)]
        return Course(model, vocabulary, requests, sampling, rows)

    total = len(sizes) * settings["rounds"] + len(warm)
    with bar(total=total, desc=f"decoding {config.name()}", unit="round") as progress:
        for rows in sizes:
            fixed = [Arm(k, Speculation(k)) for k in heads_used(n)]
            found = fixed + ([Arm(CHOSEN, Speculation(n), Pace())] if n > 1 else [])
            greedy = course(rows, Sampling(max_tokens=settings["new_tokens"]))
            greedy.race(found, settings["rounds"], progress.update)
            if reason := _flat(fixed[-1]):
                return _nothing(reason, settings)
            differences += greedy.differences(found)
            labels = {"batch": rows, "temperature": 0}
            metrics += [entry | labels for arm in found for entry in speeds(arm, found[0], rows, config)]
        for temperature in warm:
            sampling = Sampling(temperature, settings["top_p"], settings["new_tokens"], seed=config.seed)
            few = course(sizes[0], sampling)
            sampled = dataclasses.replace(few, rows=min(len(few.requests), sizes[-1]))
            labels = {"batch": sizes[0], "rows": sampled.rows, "temperature": temperature}
            for k in (k for k in heads_used(n) if k not in (1, 3)):
                sampled.once(arm := Arm(k, Speculation(k)))
                metrics += [entry | labels for entry in counts(arm)]
            for name, speculation in others(n).items() if temperature == max(warm) else ():
                sampled.once(arm := Arm(n, speculation))
                metrics += [{**entry, **labels, "metric": f"{entry['metric']}_{name}"} for entry in counts(arm)[:1]]
            progress.update()
    bugs = [d for d in differences if d["ulps"] > TIE]
    if bugs:
        raise FloatingPointError(f"speculative text differs from plain text, and not by a numerical tie: {bugs[0]}")
    metrics.append({"metric": "numerical_ties", "value": len(differences)})
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "differences": differences,
        "settings": {**settings, "context": config.context, "threads": 1},
    }


def others(n: int) -> "dict[str, Speculation]":
    """Further ways to draft and to accept that sampling is compared with."""
    from mtp.generate import Speculation

    ways = {"argmax": Speculation(n, drafts="argmax"), "typical": Speculation(n, acceptance="typical")}
    return ways if n > 1 else {}


def _flat(arm: Arm) -> str:
    """Why acceptance means nothing: every single draft was accepted. Else empty."""
    tally = arm.tally
    if tally.offered and tally.offered[0] >= 20 and tally.accepted[-1] == tally.offered[-1] == tally.offered[0]:
        return (
            f"all {sum(tally.offered)} drafts of all heads were accepted: the text repeats itself, or the heads see"
            " what they should predict; an acceptance of 1 measures nothing"
        )
    return ""


def counts(arm: Arm) -> list[dict[str, Any]]:
    """Tokens per forward, and acceptance by head."""
    tally = arm.tally
    entries = [{"metric": "tokens_per_forward", "value": tally.tokens_per_forward}]
    entries += [
        {"metric": "acceptance", "value": 100 * accepted / offered, "head": j, "accepted": accepted, "drafted": offered}
        for j, (accepted, offered) in enumerate(zip(tally.accepted, tally.offered, strict=True), 2)
    ]
    return [{**entry, "heads_used": arm.label, "forwards": tally.rounds} for entry in entries]


def speeds(arm: Arm, plain: Arm, rows: int, config: RunConfig) -> list[dict[str, Any]]:
    """`counts`, and the speed relative to plain decoding with what limits it."""
    from mtp.measures._common import median, number

    relative = median(
        [
            (plain_seconds / plain.tokens) / (seconds / arm.tokens)
            for seconds, plain_seconds in zip(arm.seconds, plain.seconds, strict=True)
        ]
    )
    per_second = median([arm.tokens / seconds for seconds in arm.seconds])
    entries = [number("relative_speed", *relative), number("tokens_per_second", *per_second)]
    tokens = arm.tally.tokens_per_forward
    if arm.pace:
        trial_tokens, trial_seconds = arm.trial
        time_share = 100 * trial_seconds / median(arm.seconds)[0]
        speed = trial_tokens / trial_seconds / median([plain.tokens / seconds for seconds in plain.seconds])[0]
        entries += [
            number("kept_heads", arm.pace.at(arm.speculation.heads, rows).heads),
            number("calibration_share", time_share),
            number("calibration_speed", speed),
        ]
    else:
        floor = floors.round_ratio(config, int(arm.label))
        cost = number("round_cost", tokens / relative[0], tokens / relative[2], tokens / relative[1])
        bound = tokens / floor
        share = number("share_of_bound", *(100 * value / bound for value in relative))
        entries += [cost, number("round_floor", floor), number("bound", bound), share]
    unknown = ("ci_low", "ci_high") if len(arm.seconds) < 2 else ()  # one round has no spread
    known = ({key: value for key, value in entry.items() if key not in unknown} for entry in entries)
    return [*counts(arm), *({**entry, "heads_used": arm.label} for entry in known)]

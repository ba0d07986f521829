"""What a model makes of the reference solutions: their likelihood given the prompt, and their rank among mutants.

Head 1 only. The reference's rank is the share of its mutants (`mtp.evals._mutants`) that are less likely, ties counted
half, by nats per byte of the whole solution. Per byte, because in all a shorter text is the likelier one: a dropped
statement would beat the reference of any weak model. So chance is 50: a model that finds every byte equally likely
finds all of them equally likely. A mutant shares tokens with its reference up to the edit and is scored from there on.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from mtp.cross_entropy import IGNORED
from mtp.data.vocabulary import Vocabulary
from mtp.evals._mutants import mutants
from mtp.likelihood import windows
from mtp.model import Model
from mtp.problems import Problem
from mtp.runs import arithmetic


@dataclasses.dataclass(frozen=True)
class References:
    """Per problem; None where the data set gives no reference, or it has no mutant."""

    nats: list[float | None]
    bytes: list[int | None]
    rank: list[float | None]
    """Percent of the mutants that are less likely."""
    mutants: int
    """How many there are in all."""


TOKENS_TOGETHER = 16384
"""Inputs of one batch of `token_nats`: bounds the memory of its activations, and of logits for half of them."""


def states(model: Model, tokens_BT: torch.Tensor) -> torch.Tensor:
    """tokens_BT -> h_BTD that head 1 predicts from."""
    mask = model.mask(tokens_BT)
    x_BTD = model.trunk_states(tokens_BT, mask)
    for branch in model.path(0):
        x_BTD = model.branch(branch, x_BTD, mask=mask)
    return x_BTD


@torch.no_grad()
def token_nats(model: Model, sequences: Sequence[tuple[np.ndarray, int]], stride: int) -> list[np.ndarray]:
    """Nats of every token from the first scored one on, by head 1; float64 [tokens] per sequence.

    Windows as in `mtp.likelihood.score`, cut behind their last target and batched by length: short texts cost little.
    """
    T = model.config.context
    device = next(model.parameters()).device
    found = [np.zeros(len(tokens_S) - first) for tokens_S, first in sequences]
    cut: list[tuple[torch.Tensor, torch.Tensor, int, int]] = []
    for i, (tokens_S, first) in enumerate(sequences):
        filled = 0
        for window_S, targets_T1 in windows(tokens_S, first, T, stride, 1):
            scored_T = targets_T1[:, 0] != IGNORED
            length = int(scored_T.nonzero().max()) + 1
            cut.append((window_S[:length], targets_T1[:length, 0], i, filled))
            filled += int(scored_T.sum())
    cut.sort(key=lambda window: len(window[0]))
    while cut:
        longest = len(cut[-1][0])
        batch = [cut.pop() for _ in range(min(len(cut), max(1, TOKENS_TOGETHER // longest)))]
        inputs_BT = torch.nn.utils.rnn.pad_sequence([window[0] for window in batch], batch_first=True).to(device)
        targets_BT = torch.nn.utils.rnn.pad_sequence(
            [window[1] for window in batch], batch_first=True, padding_value=IGNORED
        ).to(device)
        scored_BT = targets_BT != IGNORED
        logits_MV = model.logits(0, states(model, inputs_BT)[scored_BT]).float()
        nats_M = F.cross_entropy(logits_MV, targets_BT[scored_BT], reduction="none").double().cpu().numpy()
        ends = np.cumsum(scored_BT.sum(-1).cpu().numpy())
        for (_, _, i, filled), part in zip(batch, np.split(nats_M, ends[:-1]), strict=True):
            found[i][filled : filled + len(part)] = part
    return found


def divergence(a: np.ndarray, b: np.ndarray) -> int:
    """Index of the first token in which two texts differ."""
    shared = min(len(a), len(b))
    differ = np.flatnonzero(a[:shared] != b[:shared])
    return int(differ[0]) if len(differ) else shared


def rank(own: float, others: Sequence[float]) -> float:
    """Percent of the others that are larger, ties counted half."""
    gaps = np.asarray(others) - own
    tied = np.isclose(gaps, 0, atol=1e-6)  # float32 sums of one text differ by as much from batch to batch
    return float(100 * np.mean(np.where(tied, 0.5, gaps > 0)))


def measure(model: Model, vocabulary: Vocabulary, problems: Sequence[Problem], count: int) -> References:
    """Score references and at most `count` mutants of each.

    As in sampling, prompt and solution are encoded on their own, and a model sees no more than its training context:
    long texts are cut into windows that overlap by half.

    Raises:
        FloatingPointError: a score is not a finite number.
    """
    sequences: list[tuple[np.ndarray, int]] = []
    plan: list[tuple[int, list[int], list[int]]] = []
    """Problem, lengths of the reference and of its mutants in bytes, first tokens that are scored."""
    for index, problem in enumerate(problems):
        if problem.reference:
            prompt = vocabulary.begin(problem.prompt)
            texts = [problem.reference, *mutants(problem.opening, problem.reference, count)]
            tokens = [vocabulary.encode(text) for text in texts]
            firsts = [0, *(divergence(tokens[0], other) for other in tokens[1:])]
            sequences += [(np.concatenate([prompt, t]), len(prompt) + f) for t, f in zip(tokens, firsts, strict=True)]
            plan.append((index, [len(text.encode()) for text in texts], firsts))
    with arithmetic(model):
        nats = iter(token_nats(model, sequences, max(1, model.config.context // 2)))
    none = [None] * len(problems)
    found = References([*none], [*none], [*none], len(sequences) - len(plan))
    for index, lengths, firsts in plan:
        before = np.concatenate([[0.0], np.cumsum(next(nats))])
        if not np.isfinite(before[-1]):
            raise FloatingPointError(f"{problems[index].task_id}: nats of the reference: {before[-1]}")
        rates = [before[-1] / lengths[0]]
        for first, length in zip(firsts[1:], lengths[1:], strict=True):
            rates.append((before[first] + next(nats).sum()) / length)
        found.nats[index], found.bytes[index] = float(before[-1]), lengths[0]
        if len(rates) > 1:
            found.rank[index] = rank(rates[0], rates[1:])
    return found

"""Teacher-forced scores of a model on text: nats, bits per byte and top-1 accuracy of every head.

Long sequences are cut into overlapping windows of the training context; every position is scored once, and
all but the first window's with at least `context - stride` positions of context before it. Head i is scored
on the token i places ahead, wherever the text still has one.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mtp.cross_entropy import IGNORED
from mtp.data.examples import task_of
from mtp.data.vocabulary import Vocabulary
from mtp.documents import answers
from mtp.loss import model_window, split_window
from mtp.model import Model


@dataclasses.dataclass
class Score:
    """Sums over scored targets, one entry per head."""

    nats_N: np.ndarray
    correct_N: np.ndarray
    tokens_N: np.ndarray
    bytes_N: np.ndarray

    @property
    def bits_per_byte_N(self) -> np.ndarray:
        """Bits per byte of text; document separators cost bits but are no text."""
        return np.asarray(self.nats_N / math.log(2) / np.maximum(self.bytes_N, 1))

    @property
    def accuracy_N(self) -> np.ndarray:
        """Share of targets that are the head's first guess."""
        return np.asarray(self.correct_N / np.maximum(self.tokens_N, 1))


def windows(
    tokens_S: Sequence[int] | np.ndarray, first_target: int, context: int, stride: int, n: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Windows over one sequence: (window_S, targets_TN), where targets that are not to be scored are `IGNORED`.

    A window holds T inputs and n tokens more; behind the end of the text it repeats the last token.

    Not scored: targets before index `first_target` or past the end, and inputs that an earlier window scored.
    """
    text_S = torch.as_tensor(np.asarray(tokens_S, dtype=np.int64))
    S = len(text_S)
    for start in range(0, max(1, S - 1 - context + stride), stride):
        index_S = torch.arange(start, start + context + n)
        targets_1TN = split_window(index_S[None], n)[1]
        new_T = torch.arange(context) >= (0 if start == 0 else context - stride)
        scored_TN = new_T[:, None] & (targets_1TN[0] >= first_target) & (targets_1TN[0] < S)
        if scored_TN.any():
            targets_TN = torch.where(scored_TN, text_S[targets_1TN[0].clamp(max=S - 1)], IGNORED)
            yield text_S[index_S.clamp(max=S - 1)], targets_TN


@torch.no_grad()
def score(
    model: Model,
    sequences: Iterable[tuple[np.ndarray, int]],
    byte_lengths_V: np.ndarray,
    stride: int,
    batch_size: int,
) -> Score:
    """Score sequences of tokens; each comes with the index of its first scored token (1 scores all but the first).

    A model that was trained on answers alone is scored on answers alone.
    """
    n, T = model.config.n_future, model.config.context
    device = next(model.parameters()).device
    lengths_V = torch.from_numpy(np.asarray(byte_lengths_V)).to(device)
    total = Score(*(np.zeros(n) for _ in range(4)))
    every = (window for tokens_S, first in sequences for window in windows(tokens_S, first, T, stride, n))
    while batch := list(itertools.islice(every, batch_size)):
        window_BS = torch.stack([window_S for window_S, _ in batch]).to(device)
        targets_BTN = torch.stack([targets_TN for _, targets_TN in batch]).to(device)
        if model.config.loss_on == "answers":
            trained_BTN = split_window(answers(window_BS, model.config.separator), n)[1]
            targets_BTN = targets_BTN.where(trained_BTN, IGNORED)
        for i, h_BTD in model.head_states(model_window(model.config, window_BS), T):
            scored_BT = targets_BTN[..., i] != IGNORED
            targets_M = targets_BTN[..., i][scored_BT]
            logits_MV = model.logits(i, h_BTD[scored_BT]).float()
            total.nats_N[i] += F.cross_entropy(logits_MV, targets_M, reduction="sum").item()
            total.correct_N[i] += (logits_MV.argmax(-1) == targets_M).sum().item()
            total.tokens_N[i] += targets_M.numel()
            total.bytes_N[i] += lengths_V[targets_M].sum().item()
    return total


def text_of(data: Path, split: str, vocabulary: Vocabulary) -> np.ndarray:
    """Tokens of the split "train" or "valid" of a prepared folder, read as they are asked for."""
    return np.memmap(data / f"{split}.bin", dtype=np.uint8 if vocabulary.size <= 256 else np.uint16, mode="r")


def held_out_windows(
    data: Path, vocabulary: Vocabulary, context: int, limit_bytes: int
) -> list[tuple[np.ndarray, int]]:
    """Windows spread evenly over the whole held-out text, for `score`: each scores the targets of its second half.

    So a part stands for the whole, every scored token has at least half a context before it, and all heads are
    scored on the same text. About `limit_bytes` bytes are scored in all, or everything if the text is shorter.

    Windows over examples of a synthetic task start where one does, as in training, and score all targets.
    """
    tokens_S = text_of(data, "valid", vocabulary)
    if task_of(data) is not None:
        starts = np.load(data / "valid.offsets.npy")
        apart = np.unique(np.searchsorted(starts, np.arange(0, int(starts[-1]) + 1, context + 1)))
        chosen = np.linspace(0, len(apart) - 1, min(max(1, limit_bytes // context), len(apart))).astype(np.int64)
        return [(np.asarray(tokens_S[s : s + context + 1], dtype=np.int64), 1) for s in starts[apart[chosen]]]
    half = context // 2
    if len(tokens_S) <= context:
        return [(np.asarray(tokens_S, dtype=np.int64), 1)]
    bytes_per_token = float(vocabulary.byte_lengths[np.asarray(tokens_S, dtype=np.int64)].mean())
    wanted = max(1, round(limit_bytes / bytes_per_token / half))
    possible = (len(tokens_S) - context - 1) // half + 1
    starts = np.linspace(0, (possible - 1) * half, min(wanted, possible)).astype(np.int64)
    return [(np.asarray(tokens_S[s : s + context + 1], dtype=np.int64), context - half + 1) for s in starts]


def held_out_score(model: Model, data: Path, vocabulary: Vocabulary, limit_bytes: int, batch_size: int = 16) -> Score:
    """Score of every head on about `limit_bytes` bytes from all over the held-out text."""
    context = model.config.context
    return score(
        model, held_out_windows(data, vocabulary, context, limit_bytes), vocabulary.byte_lengths, context, batch_size
    )

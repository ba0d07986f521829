"""Which second halves of names a model expects: the scorer behind `mtp/evals/induction.py`."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from mtp import snapshots
from mtp.data.told import Told, name_pool, stories
from mtp.data.vocabulary import Vocabulary
from mtp.errors import UserError
from mtp.model import Model
from mtp.progress import bar
from mtp.runs import arithmetic, load_run
from synthetic._random import Words
from synthetic.induction import Pool, Question, places, questions, rename


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question about one story, with the tokens that it is asked about."""

    story: int
    question: Question
    tokens_S: np.ndarray
    chance: float
    """How often the best guess without the story is right; NaN for unchanged names."""
    rivals_R: np.ndarray
    """First tokens of the other second halves that the pool knows for the first half."""


def ask(
    stories: Sequence[Told], vocabulary: Vocabulary, pool: Pool | None, context: int, seed: int = 0, index: int = 0
) -> list[Asked]:
    """All questions about the stories; a pure function of its arguments.

    Args:
        pool: where made-up names come from; None leaves the stories unchanged.
        context: of the model, in tokens.
        seed, index: of the names: those of story k are drawn with the key (seed, index, k).
    """
    asked: list[Asked] = []
    starts = {
        first: np.unique([vocabulary.encode(second)[0] for second in seconds])
        for first, seconds in (pool.seconds.items() if pool else ())
    }
    for k, told in enumerate(stories):
        halves = pool.draw(Words("induction", seed, index, k), len(told.names)) if pool else []
        story = rename(told.text, told.names, halves)
        tokens_S = vocabulary.encode(story.text)
        for question in questions(places(story, vocabulary.byte_lengths[tokens_S]), context):
            if pool:
                first = story.halves[question.place.who][0]
                rivals_R = starts[first][starts[first] != tokens_S[question.place.first]]
                asked.append(Asked(k, question, tokens_S, pool.chance(first), rivals_R))
            else:
                asked.append(Asked(k, question, tokens_S, float("nan"), np.zeros(0, np.int64)))
    return asked


def _windows(asked: Sequence[Asked]) -> Iterator[tuple[np.ndarray, int, list[int]]]:
    """(tokens_S, start, indices of its questions) of every window that a question is asked in."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, one in enumerate(asked):
        groups.setdefault((id(one.tokens_S), one.question.window), []).append(i)
    for (_, start), members in groups.items():
        yield asked[members[0]].tokens_S, start, members


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model says to Q questions."""

    right_Q: np.ndarray
    """bool: the first guess of head 1 is right at every token of the second half, given the text up to it."""
    preferred_Q: np.ndarray
    """float: share of the rivals that are less likely than the second half, at its first token; NaN without rivals."""


@torch.no_grad()
def answers(model: Model, asked: Sequence[Asked], batch_size: int) -> Answers:
    """Ask a model; `batch_size` in windows."""
    T, n = model.config.context, model.config.n_future
    device = next(model.parameters()).device
    right_Q, preferred_Q = np.ones(len(asked), bool), np.full(len(asked), np.nan)
    windows = list(_windows(asked))
    for at in range(0, len(windows), batch_size):
        batch = windows[at : at + batch_size]
        # Behind the end of a story its last token is repeated; nothing before sees it.
        rows = [tokens_S[np.minimum(np.arange(s, s + T + n), len(tokens_S) - 1)] for tokens_S, s, _ in batch]
        window_BS = torch.from_numpy(np.stack(rows)).to(device)
        index = [
            (i, b, t - 1 - start, int(tokens_S[t]))
            for b, (tokens_S, start, members) in enumerate(batch)
            for i in members
            for t in range(asked[i].question.place.first, asked[i].question.place.end)
        ]
        question_M, b_M, t_M, target_M = torch.tensor(index).unbind(1)
        h_MD = _head_1(model, window_BS, T)[b_M.to(device), t_M.to(device)]
        logits_MV = model.logits(0, h_MD).float().cpu()
        right_Q[question_M[logits_MV.argmax(-1) != target_M].numpy()] = False
        for m, (i, _, before, target) in enumerate(index):
            place, rivals_R = asked[i].question.place, asked[i].rivals_R
            if len(rivals_R) and before + 1 + asked[i].question.window == place.first:
                preferred_Q[i] = (logits_MV[m, rivals_R] < logits_MV[m, target]).double().mean()
    return Answers(right_Q, preferred_Q)


def _head_1(model: Model, window_BS: Tensor, T: int) -> Tensor:
    """The state h_BTD from which head 1 predicts; heads after it are not computed."""
    return next(h_BTD for head, h_BTD in model.head_states(window_BS, T) if head == 0)


def draw(model_dir: Path, data_dir: Path, renamings: int, characters: int, batch_size: int) -> dict[str, Any]:
    """Ask a run about the held-out stories, with its last weights and with the snapshots of its training.

    Args:
        renamings: how often every story is asked with other names.
        characters: of a story's beginning; the rest is not asked.
        batch_size: windows.

    Returns:
        Of the questions about made-up names, `asked`, and of those about the unchanged ones, `known`: story, and
        whether the name has been met. Answers as 0 or 1: `right`, a list for the last weights and one for each
        snapshot, and `right_known`, of the last weights. `preferred`, of the last weights, is None without rivals.

    Raises:
        UserError: missing files, or held-out documents that are no stories with names.
    """
    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    told = [Told(one.text[:characters], one.names) for one in stories(data_dir, "valid") if one.names]
    if not told:
        raise UserError(f"{data_dir}: no names were found in the held-out stories; nothing can be asked about them")
    pool = name_pool(data_dir, vocabulary)
    asked = [one for i in range(renamings) for one in ask(told, vocabulary, pool, config.context, index=i)]
    known = ask(told, vocabulary, None, config.context)
    kept = snapshots.found(model_dir, config)
    with arithmetic(model):
        on_known = answers(model, known, batch_size)
        on_asked = [answers(model, asked, batch_size)]
        for weights in bar(kept, desc=f"induction {model_dir.name}", unit="snapshot"):
            model.load_state_dict(load_file(weights))
            on_asked.append(answers(model, asked, batch_size))
    return {
        "asked": _places(asked),
        "known": _places(known),
        "right": [one.right_Q.astype(int).tolist() for one in on_asked],
        "right_known": on_known.right_Q.astype(int).tolist(),
        "preferred": [None if np.isnan(share) else share for share in on_asked[0].preferred_Q.tolist()],
        "chance": float(np.mean([one.chance for one in asked])),
        "context": config.context,
        "snapshots": [path.stem for path in kept],
    }


def _places(asked: Sequence[Asked]) -> dict[str, list[int]]:
    return {"story": [one.story for one in asked], "seen": [int(one.question.seen) for one in asked]}

"""What multi-step targets weigh: targets that are hard because of one transition, counted (Section 5.1, L.3, Figure 9).

Nothing is trained. The targets are those that the training code makes of a text (`mtp.loss.split_window`); only the
number of heads of a configuration matters. Two texts are counted:

- A line of different tokens in which one transition is hard to predict. Behind a choice point all later tokens are as
  hard for contexts before it; behind an inconsequential transition only the token itself is.
- Ways through grid worlds (synthetic/grid_world.py, Figure S17). At every turn the way is compared with what it would
  have been by the other branch: the moves that differ are the hard ones. Where the other branch leads to a skull there
  is nothing to compare with, and all later moves differ.
"""

from typing import Any

import torch
from torch import Tensor

from mtp.config import RunConfig
from mtp.loss import split_window
from mtp.measures._common import number
from mtp.settings import checked, positive
from synthetic import grid_world

VERSION = 1
FIGURE_9 = "12345ABCDE"
HARD_FROM = FIGURE_9.index("A")
"""Figure 9: only the transition 5 -> A is hard to predict."""


def hard_targets(hard_S: Tensor, choice: int, n: int) -> Tensor:
    """bool (T, n): targets of contexts that end before place `choice` and are one of the hard places.

    Args:
        hard_S: bool, places of the text that are hard to predict before the choice is seen.
        choice: place of the token behind the hard transition.
    """
    place_1S = torch.arange(len(hard_S))[None]
    inputs_1T, targets_1TN = split_window(place_1S, n)
    return hard_S[targets_1TN[0]] & (inputs_1T[0, :, None] < choice)


def line(n: int) -> tuple[int, int]:
    """Hard targets of a choice point and of an inconsequential transition in the middle of a long text."""
    places = torch.arange(6 * n + 3)
    choice = 3 * n
    return tuple(int(hard_targets(hard, choice, n).sum()) for hard in (places >= choice, places == choice))  # type: ignore[return-value]


def figure_9(n: int) -> list[dict[str, Any]]:
    """Every target of the paper's sequence: last token of its context, head, token, whether it is hard."""
    contexts = len(FIGURE_9) - 3
    places = torch.arange(contexts + n)
    hard_TN = hard_targets(places >= HARD_FROM, HARD_FROM, n)
    targets_TN = split_window(places[None], n)[1][0]
    letters = FIGURE_9 + "".join(chr(ord("F") + i) for i in range(64))
    return [
        {"context": letters[t], "head": i + 1, "target": letters[int(targets_TN[t, i])], "hard": bool(hard_TN[t, i])}
        for t in range(contexts)
        for i in range(n)
    ]


def weights_of_moves(question: bytes, answer: bytes, n: int) -> list[tuple[str, int]]:
    """Kind of each move of a way, and the targets that are hard because of it."""
    text = question + b"=" + answer
    first = len(question) + 1
    found = []
    for i, kind in enumerate(grid_world.transitions(question, answer)):
        hard_S = torch.zeros(len(text) + n, dtype=torch.bool)
        if kind == "consequential":
            hard_S[first + i : len(text)] = True
        elif kind == "inconsequential":
            other = _by_the_other_branch(answer, i)
            differs = [a != b for a, b in zip(answer, other, strict=True)]
            hard_S[first : len(text)] = torch.tensor(differs)
        found.append((kind, int(hard_targets(hard_S, first + i, n).sum())))
    return found


def _by_the_other_branch(answer: bytes, turn: int) -> bytes:
    """The way with one detour above a wall taken below it, or the other way round."""
    opposite = {ord("U"): ord("D"), ord("D"): ord("U")}
    back = next(i for i in range(turn + 1, len(answer)) if answer[i] in opposite)
    return bytes(opposite[move] if i in (turn, back) else move for i, move in enumerate(answer))


def grid_worlds(n: int, paths: int) -> dict[str, float]:
    """Mean weight of a transition of each kind over ways through random worlds."""
    examples = grid_world.Generator().examples("test", 0, 0, paths, None)
    weights: dict[str, list[int]] = {"consequential": [], "inconsequential": []}
    for i in range(len(examples)):
        for kind, weight in weights_of_moves(*examples.split(i), n):
            if kind in weights:
                weights[kind].append(weight)
    return {kind: sum(found) / len(found) for kind, found in weights.items()}


def run(configs: list[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """Count; setting: paths (ways through grid worlds).

    Raises:
        UserError: wrong settings.
    """
    settings = checked(settings, {"paths": int}, {})
    positive(settings, "paths")
    runs: dict[str, dict[str, Any]] = {}
    for config in configs:
        n = config.n_future
        choice, plain = line(n)
        turns = grid_worlds(n, settings["paths"])
        values = {
            "choice_point_terms": choice,
            "inconsequential_terms": plain,
            "ratio": choice / plain,
            "consequential_turn_terms": turns["consequential"],
            "inconsequential_turn_terms": turns["inconsequential"],
            "turn_ratio": turns["consequential"] / turns["inconsequential"],
        }
        # Counts are exact, so that claims can use them.
        metrics = [number(name, value, value, value) for name, value in values.items()]
        question, answer = grid_world.Generator().examples("test", 0, 0, 1, None).split(0)
        world = {
            "question": question.decode(),
            "answer": answer.decode(),
            "moves": [{"kind": kind, "terms": terms} for kind, terms in weights_of_moves(question, answer, n)],
        }
        runs[config.name()] = {"metrics": metrics, "figure_9": figure_9(n), "world": world}
    return {"status": "measured", "reason": "", "settings": settings, "runs": runs}

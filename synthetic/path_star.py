"""Path-star graphs: the task on which next-token training is known to fail (Bachmann and Nagarajan 2024).

`degree` paths of `path_length` nodes leave one node, the start; they share nothing else. Given all edges in random
order, the start and the end of one path, the goal, name the path's nodes:

    example  = edge ("|" edge)* "/" start goal "=" answer         edge = node node, away from the start
    answer   = the nodes from start to goal, or with `reversed` from goal to start

so `46|45|52|63/43=463` has degree 2 and path length 3. Nodes are symbols drawn without replacement. Edges lead away
from the start, so every node but the second follows from the one before it by a look-up; which of the start's
neighbours comes second follows only from looking ahead to the goal. Trained to predict the next token, models learn the
look-ups first ("Clever Hans"), and have then nothing left from which to learn the choice.

The format is that paper's without the commas between nodes. Test graphs are never seen in training, not with another
order of edges, goal or direction of the answer either. The paper that this suite reproduces has no such task.
"""

import dataclasses

import numpy as np

from synthetic._random import Words, mixed
from synthetic._task import PRINTABLE, Candidates, Drawn, need


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Drawn):
    """Star graphs with paths for arms."""

    scores = ("exact", "first_branch")
    degree: int = 2
    """Paths from the start."""
    path_length: int = 5
    """Nodes of a path, start and goal included."""
    nodes: int = 50
    """Symbols to name nodes with."""
    reversed: bool = False
    """The answer begins at the goal: then every node follows by a look-up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.degree >= 2, f"degree: must be at least 2, got {self.degree}")
        need(self.path_length >= 3, f"path_length: must be at least 3, got {self.path_length}")
        least = 1 + self.degree * (self.path_length - 1)
        need(
            least <= self.nodes <= len(PRINTABLE),
            f"nodes: must be {least} (the size of the graph) to {len(PRINTABLE)}, got {self.nodes}",
        )

    @property
    def groups(self) -> tuple[str, ...]:
        return ("all",)

    @property
    def longest_answer(self) -> int:
        return self.path_length

    def chance(self, group: str) -> float:
        """Of a model that can follow edges but chooses among the start's neighbours blindly."""
        return 1 / self.degree

    def score(self, question: bytes, right: bytes, given: bytes) -> dict[str, float]:
        """`exact`, and `first_branch`: whether the start's neighbour is the right one."""
        second = self.path_length - 2 if self.reversed else 1
        return {
            **super().score(question, right, given),
            "first_branch": float(given[second : second + 1] == right[second : second + 1]),
        }

    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        K, arms, steps = count, self.degree, self.path_length - 1
        name_KN = np.frombuffer(PRINTABLE, np.uint8)[_orders(words, K, self.nodes)]
        start_K1 = name_KN[:, :1]
        path_KAP = np.concatenate(
            [
                np.repeat(start_K1[:, None], arms, axis=1),
                name_KN[:, 1 : 1 + arms * steps].reshape(K, arms, steps),
            ],
            axis=2,
        )
        edge_KE2 = np.stack([path_KAP[:, :, :-1], path_KAP[:, :, 1:]], axis=3).reshape(K, arms * steps, 2)
        # The first path is the one to find: which one does not show, since edges are shuffled and names are random.
        edge_KE2 = np.take_along_axis(edge_KE2, _orders(words, K, arms * steps)[:, :, None], axis=1)
        goal_K1 = path_KAP[:, 0, -1:]
        answer_KP = path_KAP[:, 0, ::-1] if self.reversed else path_KAP[:, 0]
        sign = {symbol: np.full((K, 1), ord(symbol), np.uint8) for symbol in "|/="}
        edges_KL = np.concatenate([edge_KE2, np.repeat(sign["|"][:, None], arms * steps, axis=1)], axis=2).reshape(
            K, -1
        )
        text_KL = np.concatenate([edges_KL[:, :-1], sign["/"], start_K1, goal_K1, sign["="], answer_KP], axis=1)
        # A sum over edges: the same for every order of them.
        edge_KE = edge_KE2[:, :, 0].astype(np.uint64) * np.uint64(256) + edge_KE2[:, :, 1]
        return Candidates(text_KL, mixed(mixed(edge_KE).sum(1, dtype=np.uint64)))


def _orders(words: Words, count: int, n: int) -> np.ndarray:
    """int64 [count, n]: random orders of 0 .. n - 1 (equal sort keys, about n^2 in 2^33, favour the lower number)."""
    return np.argsort(words.below(1 << 32, count, n), axis=1, kind="stable")

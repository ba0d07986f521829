"""A grid world with turns that matter and turns that do not (Section L.3, Figure S17).

A map of three rows, and the way from the arrow to the trophy as moves up, down and right. The way forks `turns` times,
above and below a wall. At an inconsequential turn both branches meet again behind the wall; at a consequential turn
one of them ends at a skull:

    #...#....#        > arrow   * trophy   . free   # wall   X skull
    >.#...##.*        the first turn is inconsequential, the second is not: its lower branch derails
    #...#..X##

so `#...#....#/>.#...##.*/#...#..X##=RURRDRRURRRDR` is an example. The paper draws one such world and leaves open
how to make others. Here each turn is inconsequential with probability 1/2, and else one of its two branches, either
with probability 1/2, is deadly; each is 3 to `longest` columns wide, uniformly; and at inconsequential turns the
answer takes either branch with probability 1/2.
"""

import dataclasses

import numpy as np

from synthetic._random import Words, hashed
from synthetic._task import Candidates, Drawn, need

MOVES = {"U": (-1, 0), "D": (1, 0), "R": (0, 1)}
Cell = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator(Drawn):
    """Maps of three rows and ways through them."""

    scores = ("exact", "arrives")
    turns: int = 4
    """Forks on the way."""
    longest: int = 6
    """Columns of the widest fork."""

    def __post_init__(self) -> None:
        super().__post_init__()
        need(self.turns >= 1, f"turns: must be at least 1, got {self.turns}")
        need(self.longest >= 3, f"longest: must be at least 3, got {self.longest}")

    @property
    def groups(self) -> tuple[str, ...]:
        return ("all",)

    @property
    def longest_answer(self) -> int:
        return self.turns * (self.longest + 3)

    def chance(self, group: str) -> float:
        """Of an exact answer by a model that chooses its branch blindly at every fork."""
        return 0.5**self.turns

    def score(self, question: bytes, right: bytes, given: bytes) -> dict[str, float]:
        """`exact`, and `arrives`: whether the moves lead from arrow to trophy, by whichever branches."""
        return {**super().score(question, right, given), "arrives": float(arrives(question, given))}

    def candidates(self, words: Words, group: str | None, count: int) -> Candidates:
        K, G, S = count, self.turns, self.longest
        span_KG1 = 3 + words.below(S - 2, K, G)[:, :, None]
        matters_KG1 = (words.below(2, K, G) == 1)[:, :, None]
        # The deadly branch of a turn that matters: 0 the upper, 1 the lower.
        deadly_KG1 = words.below(2, K, G)[:, :, None]
        way_KG1 = np.where(matters_KG1, 1 - deadly_KG1, words.below(2, K, G)[:, :, None])

        # A fork is S columns (of which the first `span` exist) and one more that leads on.
        column_S = np.arange(S)
        exists_KGS = column_S < span_KG1
        wall_KGS = (column_S > 0) & (column_S < span_KG1 - 1)
        rows = []
        for branch in (0, None, 1):
            if branch is None:
                fork_KGS, link = np.where(wall_KGS, ord("#"), ord(".")), "."
            else:
                ends_KG1 = matters_KG1 & (deadly_KG1 == branch)
                fork_KGS = np.where(ends_KG1 & (column_S == span_KG1 - 2), ord("X"), ord("."))
                fork_KGS, link = np.where(ends_KG1 & (column_S == span_KG1 - 1), ord("#"), fork_KGS), "#"
            link_KG1 = np.full((K, G, 1), ord(link))
            rows.append(np.concatenate([np.where(exists_KGS, fork_KGS, 0), link_KG1], axis=2).reshape(K, -1))
        rows[1][:, -1] = ord("*")
        sign = {symbol: np.full((K, 1), ord(symbol)) for symbol in "#>/="}
        question_KL = np.concatenate(
            [sign["#"], rows[0], sign["/"], sign[">"], rows[1], sign["/"], sign["#"], rows[2]], axis=1
        )

        turn_KG1 = np.where(way_KG1 == 0, ord("U"), ord("D"))
        back_KG1 = np.where(way_KG1 == 0, ord("D"), ord("U"))
        along_KGS = np.where(column_S < span_KG1 - 1, ord("R"), 0)
        right_KG1 = np.full((K, G, 1), ord("R"))
        moves_KL = np.concatenate([right_KG1, turn_KG1, along_KGS, back_KG1, right_KG1], axis=2).reshape(K, -1)
        return Candidates(
            np.concatenate([question_KL, sign["="], moves_KL], axis=1).astype(np.uint8), hashed(question_KL)
        )


def arrives(question: bytes, moves: bytes) -> bool:
    """Whether the moves lead from the arrow to the trophy without wall, skull or a step off the map."""
    world, start = _world(question)
    row, column = start
    for move in moves.decode("latin-1"):
        step = MOVES.get(move)
        if step is None or world.get((row, column)) == "*":
            return False
        row, column = row + step[0], column + step[1]
        if world.get((row, column), "#") in "#X":
            return False
    return world[row, column] == "*"


def transitions(question: bytes, answer: bytes) -> list[str]:
    """What each move of a right answer is: `consequential`, `inconsequential` or `forced`.

    Read off the map alone. The cells that a move could enter are those next to it that the way has not been on. A
    move is inconsequential if the trophy can be reached from two of them, consequential if it can from one while
    another leads to a skull, else forced.
    """
    world, cell = _world(question)
    been = {cell}
    kinds = []
    for move in answer.decode():
        reached = [_reached(world, option, been) for option in _neighbours(world, cell) if option not in been]
        safe = sum("*" in signs for signs in reached)
        deadly = sum("*" not in signs and "X" in signs for signs in reached)
        kinds.append("inconsequential" if safe > 1 else "consequential" if deadly else "forced")
        cell = (cell[0] + MOVES[move][0], cell[1] + MOVES[move][1])
        been.add(cell)
    return kinds


def _world(question: bytes) -> tuple[dict[Cell, str], Cell]:
    """The map's cells, and where the arrow is."""
    rows = question.decode().split("/")
    world = {(i, j): sign for i, row in enumerate(rows) for j, sign in enumerate(row)}
    return world, next(cell for cell, sign in world.items() if sign == ">")


def _neighbours(world: dict[Cell, str], cell: Cell) -> list[Cell]:
    around = [(cell[0] + i, cell[1] + j) for i, j in ((-1, 0), (1, 0), (0, 1), (0, -1))]
    return [near for near in around if world.get(near, "#") != "#"]


def _reached(world: dict[Cell, str], start: Cell, been: set[Cell]) -> set[str]:
    """Signs that can be reached from a cell without the cells that the way has been on; skulls are not passed."""
    open_, seen = [start], {start, *been}
    signs = set()
    while open_:
        cell = open_.pop()
        signs.add(world[cell])
        if world[cell] != "X":
            fresh = [near for near in _neighbours(world, cell) if near not in seen]
            seen.update(fresh)
            open_.extend(fresh)
    return signs

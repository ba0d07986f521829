"""How many heads pay on this machine: chosen by what texts took, not by what they should take. No torch here.

Texts are decoded in stretches. In a trial a stretch is as many prompts as there are rows, decoded plainly, with all
heads, or with a number between them that could be faster still; its text is that of plain decoding anyway, so that
nothing is computed for the choice alone. A choice then holds for `HOLDS` times as many prompts, and twice as long each
time that a trial confirms it. Another number of heads must be faster by `MARGIN`, so that noise changes nothing.
"""

import statistics

import numpy as np

from mtp.speculation import Tally

STRETCHES, ROUNDS = 3, 64
"""Of a trial, with each number of heads: stretches, the first of which touches memory and is not timed, and passes over
a row with all heads, as fewer say little about acceptance."""
HOLDS = 64
MARGIN = 1.1


class Trial:
    """What is known at one number of rows."""

    def __init__(self, most: int, rows: int) -> None:
        """`most`: heads that may be used."""
        self.most, self.rows = most, rows
        self.heads = 1
        """The choice so far."""
        self.left = 0
        """Prompts that it still holds for; 0 during a trial."""
        self.holds = HOLDS // 2
        self._forget()

    def _forget(self) -> None:
        self.seconds: dict[int, list[float]] = {}
        """Heads -> time of a pass over a row, stretch by stretch."""
        self.tally = Tally()

    def next(self) -> tuple[int, int]:
        """Heads for what comes next, and for how many prompts."""
        if self.left:
            return self.heads, self.left
        missing = self._missing() or [self._fastest()[0]]
        return min(missing, key=lambda heads: len(self.seconds.get(heads, ()))), self.rows

    def note(self, heads: int, prompts: int, seconds: float, tally: Tally) -> None:
        """What so many prompts took."""
        if self.left:
            self.left = max(0, self.left - prompts)
            return
        if prompts < self.rows or not tally.rounds:
            return
        self.seconds.setdefault(heads, []).append(seconds / tally.rounds)
        self.tally.add(tally)
        if self._missing():
            return
        best, gain = self._fastest()
        if gain >= MARGIN and not self._tried(best):
            return
        confirmed = gain < MARGIN or best == self.heads
        self.heads, self.holds = (self.heads, 2 * self.holds) if confirmed else (best, HOLDS)
        self.left = self.holds * self.rows
        self._forget()

    def _tried(self, heads: int) -> bool:
        return len(self.seconds.get(heads, ())) >= STRETCHES

    def _missing(self) -> list[int]:
        """Numbers of heads without which nothing can be said."""
        found = [heads for heads in sorted({1, self.heads, self.most}) if not self._tried(heads)]
        if self.most not in found and self.tally.offered[-1] < ROUNDS:
            found.append(self.most)
        return found

    def _fastest(self) -> tuple[int, float]:
        """The fastest number of heads, and its speed over that of the choice so far.

        What was not tried is taken to cost what lies evenly between its neighbours: too little, as drafting has a cost
        of its own, so that nothing that could be faster is left out.
        """
        acceptance = np.divide(self.tally.accepted, self.tally.offered)
        tokens = 1 + np.concatenate([[0.0], acceptance.cumsum()])
        tried = [heads for heads in sorted(self.seconds) if self._tried(heads)]
        costs = [statistics.median(self.seconds[heads][1:]) for heads in tried]
        rates = tokens / np.interp(np.arange(1, self.most + 1), tried, costs)
        best = int(rates.argmax())
        return best + 1, float(rates[best] / rates[self.heads - 1])


class Pace:
    """Choices by number of rows; hold on to one from one `generate` with a model to the next."""

    def __init__(self) -> None:
        self._trials: dict[tuple[int, int], Trial] = {}

    def at(self, most: int, rows: int) -> Trial:
        """What is known of about so many rows, with at most so many heads."""
        return self._trials.setdefault((most, rows.bit_length()), Trial(most, rows))

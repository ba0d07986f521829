"""CSV files that grow by rows and can be cut back to a step, for exact resume."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from mtp.atomic import write_text


class GrowingCsv:
    """Rows keyed by their first column, the step. Values are written with six significant digits."""

    def __init__(self, path: Path, columns: Sequence[str], keep_until: int) -> None:
        """Open for appending; rows of an earlier attempt after step `keep_until` are dropped."""
        self.path, self.columns = path, list(columns)
        rows: list[list[str]] = []
        if path.exists():
            with path.open(newline="") as file:
                old = list(csv.reader(file))
            # A killed process may leave half a line at the end: count only whole rows.
            whole = [r for r in old[1:] if len(r) == len(self.columns) and r[0].isdigit()]
            rows = [r for r in whole if int(r[0]) <= keep_until] if old[:1] == [self.columns] else []
        write_text(path, self._lines([self.columns, *rows]))
        self.file = path.open("a", newline="")

    @staticmethod
    def _lines(rows: Iterable[Sequence[object]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def append(self, row: Sequence[int | float]) -> None:
        """Add one row."""
        self.file.write(self._lines([[v if isinstance(v, int) else f"{v:.6g}" for v in row]]))

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class NoCsv:
    """Stands for a `GrowingCsv` in processes that do not write."""

    def append(self, row: Sequence[int | float]) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

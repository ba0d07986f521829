"""Figures whose numbers can be checked by hand: averages over points, pass@k against k."""

from pathlib import Path

from mtp.report import figures
from mtp.report.kinds import averages, pass_at_k
from mtp.report.picture import Picture
from mtp.report.results import Results
from tests.mtp.report import tiny

TWO_SIZES = tiny.SPEC.replace("grid: {n_future: [1, 2, 3]}", "grid: {size: [0.3B, 0.6B], n_future: [1, 2, 3]}").replace(
    "kind: bars, x: n_future, metrics: [bits, pass]",
    "kind: averages, x: n_future, panels: vocabulary, metrics: [bits, pass],"
    " published: {file: tiny.csv, axes: {benchmark: benchmark, k: k}}",
)
CURVES = tiny.SPEC.replace(
    "kind: bars, x: n_future, metrics: [bits, pass]",
    "kind: pass_at_k, hue: n_future, metrics: [pass], published: {file: tiny.csv, axes: {k: k}}",
)
ONE_BENCHMARK = "\n".join(line for line in tiny.PAPER.splitlines() if "MBPP" not in line) + "\n"


def picture(folder: Path, spec: str, paper: str = tiny.PAPER, **changes: object) -> Picture:
    return Picture(tiny.build(folder, spec, paper, **changes), 0, Results(folder / "results", "tiny"))


def test_averages(tmp_path: Path) -> None:
    drawn = picture(tmp_path, TWO_SIZES)
    ours = averages._ours(drawn, drawn.points, "bits")
    assert [round(ours[n].mean, 6) for n in (1, 2)] == [2.1, 2.625] and 3 not in ours, "n = 3 is not run"
    assert ours[1].low is not None, "an interval over two seeds"
    theirs = averages._theirs(drawn, drawn.points, "pass")
    assert {n: interval.mean for n, interval in theirs.items()} == {1: 18.1, 2: 21.8, 3: 20.0}
    figures.draw(drawn.experiment, drawn.results, tmp_path / "figures")
    assert (tmp_path / "figures" / "tiny.bars.svg").exists()


def test_an_average_lacks_no_point(tmp_path: Path) -> None:
    drawn = picture(tmp_path, TWO_SIZES)
    missing = next(p for p in drawn.points if p.axes["size"] == "0.6B" and p.axes["n_future"] == 2)
    for run in missing.runs:
        path = tmp_path / "results/tiny/runs" / run.name() / "likelihood.json"
        path.write_text('{"status": "unavailable", "reason": "lost", "metrics": []}')
    fresh = Picture(drawn.experiment, 0, Results(tmp_path / "results", "tiny"))
    assert set(averages._ours(fresh, fresh.points, "bits")) == {1}


def test_pass_at_k(tmp_path: Path) -> None:
    for passed in (0.0, 4.0):  # on a linear axis, and on a logarithmic one
        drawn = picture(tmp_path, CURVES, ONE_BENCHMARK, passed=passed)
        first = drawn.points[0]
        assert {k: i.mean for k, i in pass_at_k._ours(drawn, first, "pass").items()} == {1: passed}
        assert {k: i.mean for k, i in pass_at_k._theirs(drawn, first).items()} == {1: 18.1, 10: 28.2}
        figures.draw(drawn.experiment, drawn.results, tmp_path / f"figures{passed}")
    assert (tmp_path / "figures4.0" / "tiny.bars.png").exists()

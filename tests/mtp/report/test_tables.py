"""The tidy CSV: every point and metric once, with status, interval and the paper's number."""

from pathlib import Path

import pytest

from mtp.errors import UserError
from mtp.report import tables, tidy
from mtp.report.results import Results
from tests.mtp.report import tiny

GOLDEN = """\
n_future,metric,title,text,head,benchmark,k,measured,ci_low,ci_high,n_seeds,published,status,reason
1,bits,bits/byte,code,1,,,2.1,0.82938,3.37062,2,,measured,
1,pass,HumanEval@1,,,HumanEval,1,0.0,0.0,0.0,2,18.1,measured,
1,mbpp,MBPP@1,,,MBPP,1,,,,0,19.3,not evaluated,neither likelihood nor humaneval reports it
2,bits,bits/byte,code,1,,,2.625,1.03672,4.21328,2,,measured,
2,pass,HumanEval@1,,,HumanEval,1,0.0,0.0,0.0,2,21.8,measured,
2,mbpp,MBPP@1,,,MBPP,1,,,,0,,not evaluated,neither likelihood nor humaneval reports it
3,bits,bits/byte,code,1,,,,,,0,,not run at this scale,n_future 3 is not run at the tiny scale
3,pass,HumanEval@1,,,HumanEval,1,,,,0,20.0,not run at this scale,n_future 3 is not run at the tiny scale
3,mbpp,MBPP@1,,,MBPP,1,,,,0,,not run at this scale,n_future 3 is not run at the tiny scale
"""
"""Interval of (2.0, 2.2): s / sqrt(2) = 0.1, t(0.975, 1) = 12.7062, so 2.1 -+ 1.27062."""


def results(folder: Path) -> Results:
    return Results(folder / "results", "tiny")


def test_golden(tmp_path: Path) -> None:
    experiment = tiny.build(tmp_path)
    frame = tables.tidy(experiment, results(tmp_path))
    assert tidy.to_csv(frame.drop(columns="runs")) == GOLDEN
    assert list(frame["runs"][:2]) == [" ".join(r.name() for r in experiment.points[0].runs)] * 2
    assert frame["runs"].iloc[-1] == ""


def test_command_writes_equal_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.build(tmp_path)
    monkeypatch.chdir(tmp_path)
    written = []
    for _ in range(2):
        tables.main(["tiny", *tiny.ARGUMENTS])
        written.append([(tmp_path / "results/tiny" / f"tiny.{end}").read_bytes() for end in ("csv", "html")])
    assert written[0] == written[1]
    page = written[0][1].decode()
    assert '<span class="best">2.100</span>' in page
    assert "n_future 3 is not run at the tiny scale" in page


def test_the_papers_digits(tmp_path: Path) -> None:
    """A column prints as many as its most exact number; means over the paper's runs, as many as ours."""
    paper = tiny.PAPER.replace("18.1", "18.15")
    experiment = tiny.build(tmp_path, paper=paper)
    found = tables.wide(experiment, tables.tidy(experiment, results(tmp_path)))
    assert [line["cells"][1].paper for line in found["lines"]] == ["18.15", "21.80", "20.00"]
    mean = tiny.SPEC.replace("axes: {n: n_future}}", "axes: {n: n_future}, mean_over: label}")
    experiment = tiny.build(tmp_path, mean, paper)
    found = tables.wide(experiment, tables.tidy(experiment, results(tmp_path)))
    assert [line["cells"][1].paper for line in found["lines"]] == ["18.1", "21.8", "20.0"]


def test_paper_rows_must_be_told_apart(tmp_path: Path) -> None:
    experiment = tiny.build(tmp_path, paper=tiny.PAPER + "Table T,1,HumanEval,1,99\n")
    with pytest.raises(UserError, match=r"tiny\.yaml: metrics\.pass\.published: 2 rows of tiny\.csv fit"):
        tables.tidy(experiment, results(tmp_path))


def test_unknown_column_of_the_paper(tmp_path: Path) -> None:
    experiment = tiny.build(tmp_path, spec=tiny.SPEC.replace("{benchmark: MBPP, k: 1}}", "{bench: MBPP, k: 1}}"))
    with pytest.raises(UserError, match=r"no column 'bench'; did you mean 'benchmark'"):
        tables.tidy(experiment, results(tmp_path))


def test_missing_run_names_run_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(iter(tiny.build(tmp_path).runs))
    (tmp_path / "results/tiny/runs" / run / "humaneval.json").unlink()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        tables.main(["tiny", *tiny.ARGUMENTS])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and run in told and "humaneval.json" in told


def test_unavailable_keeps_its_reason(tmp_path: Path) -> None:
    gone = {"status": "unavailable", "reason": "no HumanEval file; see docs", "metrics": []}
    frame = tables.tidy(tiny.build(tmp_path, humaneval=gone), results(tmp_path))
    row = frame[frame["metric"] == "pass"].iloc[0]
    assert (row["status"], row["reason"], row["measured"]) == ("unavailable", "no HumanEval file; see docs", "")
    assert frame[frame["metric"] == "mbpp"].iloc[0]["status"] == "not evaluated"


def test_ambiguous_labels_are_an_error(tmp_path: Path) -> None:
    twice = [
        {"metric": "pass@k", "benchmark": "HumanEval", "k": 1, "temperature": t, "value": 1.0} for t in ("0.2", "0.8")
    ]
    experiment = tiny.build(tmp_path, humaneval={"metrics": twice})
    with pytest.raises(UserError, match=r"metrics\.pass\.where: fits 2 numbers .*temperature: 0\.2, 0\.8"):
        tables.tidy(experiment, results(tmp_path))


def test_an_evaluation_that_the_scale_leaves_out(tmp_path: Path) -> None:
    spec = tiny.SPEC.replace("at: {tiny: {", "at: {tiny: {evals: [likelihood], ")
    frame = tables.tidy(tiny.build(tmp_path, spec=spec), results(tmp_path))
    row = frame[frame["metric"] == "pass"].iloc[0]
    assert row["status"] == "not run at this scale" and "humaneval is not run" in row["reason"]


def test_rows_must_tell_points_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows: two grid points share the row .*add n_future"):
        tiny.build(tmp_path, spec=tiny.SPEC.replace("evals:", "rows: [size]\nevals:", 1))


def test_rows_of_the_paper_can_be_averaged(tmp_path: Path) -> None:
    """Two runs of the paper's are one number; the same run twice is still a mistake."""
    spec = tiny.SPEC.replace("{n: n_future}}", "{n: n_future}, mean_over: run}", 1)
    lines = tiny.PAPER.splitlines()
    paper = "\n".join([lines[0] + ",run", *(line + ",1" for line in lines[1:])]) + "\n"
    experiment = tiny.build(tmp_path, spec=spec, paper=paper + "Table T,1,HumanEval,1,20.1,2\n")
    frame = tables.tidy(experiment, results(tmp_path))
    rows = frame[(frame.title == "HumanEval@1") & (frame.n_future.astype(str) == "1")]
    assert rows.published.astype(float).tolist() == [pytest.approx(19.1)]


def test_averaged_rows_must_still_be_told_apart(tmp_path: Path) -> None:
    spec = tiny.SPEC.replace("{n: n_future}}", "{n: n_future}, mean_over: label}", 1)
    experiment = tiny.build(tmp_path, spec=spec, paper=tiny.PAPER + "Table T,1,HumanEval,1,99\n")
    with pytest.raises(UserError, match=r"2 rows of tiny\.csv fit"):
        tables.tidy(experiment, results(tmp_path))

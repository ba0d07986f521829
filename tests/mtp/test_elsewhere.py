"""Results of another machine: taken if they are of this very job, and weights that stayed behind."""

from pathlib import Path

import pytest

from mtp import elsewhere
from mtp.elsewhere import Done
from mtp.record import WEIGHTS

IDENTITY = {"configuration": "{}", "code": "abc"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder in results/cpu; the other machine has trained it."""
    folder = tmp_path / "results" / "cpu" / "runs" / "a-run"
    there = elsewhere.counterpart(folder)
    there.mkdir(parents=True)
    (there / "config.json").write_text("the record")
    elsewhere.write(there, "train", Done(IDENTITY, ["config.json"], "a GPU", "2026-01-02"))
    return folder


def test_counterparts(tmp_path: Path) -> None:
    scale = tmp_path / "results" / "cpu"
    assert elsewhere.counterpart(scale / "runs" / "a") == scale / "elsewhere" / "runs" / "a"
    assert elsewhere.counterpart(scale / "measurements") == scale / "elsewhere" / "measurements"


def test_taken_with_a_stand_in_for_the_weights(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert elsewhere.take_run(run, IDENTITY)
    assert (run / "config.json").read_text() == "the record"
    assert elsewhere.absent(run) == "computed on a GPU, 2026-01-02"
    assert "taken from" in capsys.readouterr().out


def test_weights_that_came_along(run: Path) -> None:
    (elsewhere.counterpart(run) / WEIGHTS).write_bytes(b"weights")
    assert elsewhere.take_run(run, IDENTITY)
    assert (run / WEIGHTS).read_bytes() == b"weights"
    assert not elsewhere.absent(run)


@pytest.mark.parametrize("changed", [{"code": "def"}, {"start": "another key"}])
def test_another_job_is_not_taken(run: Path, changed: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not elsewhere.take_run(run, IDENTITY | changed)
    assert not run.exists()
    assert f"of another {next(iter(changed))}" in capsys.readouterr().out


def test_nothing_there(run: Path) -> None:
    assert elsewhere.take(run, "likelihood", IDENTITY) is None
    (elsewhere.counterpart(run) / "config.json").unlink()
    assert elsewhere.take(run, "train", IDENTITY) is None, "a record without its files is no result"
    (elsewhere.counterpart(run) / "train.job.json").write_text("{")
    assert elsewhere.take(run, "train", IDENTITY) is None


def test_no_weights_at_all_are_not_absent(tmp_path: Path) -> None:
    assert elsewhere.absent(tmp_path) == ""
    (tmp_path / WEIGHTS).write_bytes(b"damaged")
    assert elsewhere.absent(tmp_path) == ""

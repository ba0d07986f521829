"""Which jobs start when, what a failure stops, and the time limit. The jobs are a few lines of Python."""

import time
from pathlib import Path

import pytest

from mtp.bundle import running
from mtp.bundle.plan import Job
from mtp.bundle.running import Machine, Runner

GPU = Machine("a GPU", True, 4)
MODULE = """\
import pathlib, sys, time
out, seconds, status = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
with open("order", "a") as file:
    file.write(out.parent.name + "\\n")
time.sleep(seconds)
if status:
    sys.exit("it broke")
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text("done")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(run: str, *needs: str, seconds: float = 0, status: int = 0, share: int = 100) -> Job:
    folder = f"results/cpu/runs/{run}"
    return Job(
        "train", "work", (f"{folder}/config.json", str(seconds), str(status)), folder, ("config.json",),
        {"code": "a"}, f"logs/{run}.log", needs, share,
    )  # fmt: skip


def test_in_order_once_and_not_again(folder: Path) -> None:
    jobs = [job("a"), job("b", "a/train"), job("c")]
    runner = Runner(jobs, GPU, None)
    runner.run()
    assert runner.finished == {"a/train", "b/train", "c/train"} and not runner.failed
    assert (folder / "order").read_text().split() == ["a", "b", "c"]
    assert all(map(running.done, jobs))
    Runner(jobs, GPU, None).run()
    assert len((folder / "order").read_text().split()) == 3


def test_other_code_is_not_done() -> None:
    Runner([job("a")], GPU, None).run()
    other = job("a")
    other.identity["code"] = "b"
    assert not running.done(other)


def test_a_failure_stops_what_needs_it_and_nothing_else() -> None:
    runner = Runner([job("a", status=1), job("b", "a/train"), job("c")], GPU, None)
    runner.run()
    assert runner.finished == {"c/train"}
    assert list(runner.failed) == ["a/train"] and runner.failed["a/train"].startswith("it broke (logs/a.log")


def test_a_job_that_writes_nothing_has_failed() -> None:
    nothing = job("a")
    object.__setattr__(nothing, "comes_back", ("other.json",))
    runner = Runner([nothing], GPU, None)
    runner.run()
    assert list(runner.failed) == ["a/train"]


def test_small_jobs_share_a_gpu_and_large_ones_do_not() -> None:
    jobs = [job("a", share=50), job("b", share=50), job("c", share=50), job("d")]
    runner = Runner(jobs, GPU, None)
    assert runner._startable(jobs) == jobs[:2]
    assert Runner(jobs, Machine("a CPU", False, 4), None)._startable(jobs) == jobs, "a core each"
    assert [GPU.threads(each) for each in jobs] == [2, 2, 2, 4]
    assert Machine("a CPU", False, 4).threads(jobs[3]) == 1


def test_at_the_limit_jobs_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "GRACE", 0.0)
    jobs = [job("a", seconds=60), job("b")]
    started = time.monotonic()
    runner = Runner(jobs, GPU, started + 1)
    runner.run()
    assert time.monotonic() - started < 20
    assert not runner.finished and not runner.failed, "a job that is stopped has not failed"


def test_one_at_a_time(folder: Path) -> None:
    with running.alone(), pytest.raises(Exception, match="another process runs this bundle"), running.alone():
        pass


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "NEEDED", ("numpy", "no_such_package"))
    with pytest.raises(Exception, match="not installed: no_such_package"):
        running.machine()

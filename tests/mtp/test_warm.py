"""Jobs in forks of a warm process: what they get, how they end, and that the arithmetic is the same."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB = """
import os, sys, time
if sys.argv[1] == "tell":
    print(os.getcwd(), os.environ["TOLD"], sys.argv[2:], "torch" in sys.modules, __name__)
    print("on stderr", file=sys.stderr)
    print(sys.stdin.read())
elif sys.argv[1] == "exit":
    sys.exit(int(sys.argv[2]))
elif sys.argv[1] == "fail":
    raise ValueError("this text")
elif sys.argv[1] == "last words":
    import atexit, threading
    atexit.register(print, "registered")
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
    print("not flushed", end=" ")
    sys.exit("told on the way out")
elif sys.argv[1] == "sleep":
    try:
        print(os.getpid(), flush=True)
        for _ in range(600):
            time.sleep(0.1)  # a signal just before a sleep does not cut it short
    except KeyboardInterrupt:
        sys.exit(7)
elif sys.argv[1] == "compute":
    import torch
    torch.set_num_threads(1)
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    print((x @ x).relu().softmax(-1).double().sum().item().hex(), torch.sort(x.flatten()).values[7].item().hex())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own, hence a server of its own, that is up."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "job.py").write_text(JOB)
    subprocess.run(command("exit", "0"), cwd=folder, env=environment(), check=True)  # in its own process: starts one
    deadline = time.monotonic() + 60
    while "True" not in run(folder, "tell").stdout:
        assert time.monotonic() < deadline, "no server came up"
        time.sleep(0.2)
    return folder


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TOLD": "by the caller", **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mtp.warm", "job", *arguments]


def run(folder: Path, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), cwd=folder, env=environment(), input=stdin, capture_output=True, text=True, timeout=60
    )


def test_a_job_has_what_its_caller_has(folder: Path) -> None:
    done = run(folder, "tell", "a b", "ü", stdin="typed")
    assert done.returncode == 0
    assert done.stdout == f"{folder} by the caller ['a b', 'ü'] True __main__\ntyped\n"
    assert done.stderr == "on stderr\n"


@pytest.mark.parametrize("status", [0, 2, 143])
def test_exit_status(folder: Path, status: int) -> None:
    assert run(folder, "exit", str(status)).returncode == status


def test_what_is_left_to_do_at_the_end_is_done(folder: Path) -> None:
    done = run(folder, "last words")
    assert (done.returncode, done.stderr) == (1, "told on the way out\n")
    assert done.stdout == "not flushed thread\nregistered\n"


def test_an_error_tells_where(folder: Path) -> None:
    done = run(folder, "fail")
    assert done.returncode == 1
    assert "job.py" in done.stderr and done.stderr.endswith("ValueError: this text\n")


def sleeping(folder: Path) -> "tuple[subprocess.Popen[str], int]":
    """A caller, and the process that does its job."""
    caller = subprocess.Popen(command("sleep"), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    pid = int(caller.stdout.readline())
    assert pid != caller.pid
    return caller, pid


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)])
def test_signals_reach_the_job(folder: Path, number: signal.Signals, status: int) -> None:
    caller, _ = sleeping(folder)
    caller.send_signal(number)
    assert caller.wait(20) == status


def test_a_job_dies_with_its_caller(folder: Path) -> None:
    other, _ = sleeping(folder)
    caller, pid = sleeping(folder)
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.05)
    assert other.poll() is None
    other.terminate()
    other.wait(20)


def test_the_numbers_are_those_of_a_process_of_its_own(folder: Path) -> None:
    alone = subprocess.run(
        [sys.executable, "-m", "job", "compute"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert run(folder, "compute").stdout == alone.stdout != ""


def test_without_a_server_the_module_runs_all_the_same(folder: Path) -> None:
    done = subprocess.run(
        command("tell"), cwd=folder, env=environment(OMP_SCHEDULE=f"static,{os.getpid()}"), capture_output=True,
        text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0
    assert "False __main__" in done.stdout

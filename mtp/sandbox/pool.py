"""Many programs over a few workers: self-check first, equal programs once, verdicts in order, none lost.

    with Pool(workers=2) as pool:
        verdicts = pool.run(programs)

A worker is a pair of sandboxed processes, checker and fork server (`mtp.sandbox.inside`). The parent only hands out
programs and takes reports; a pair that dies or hangs is replaced, and what it had not reported runs again.
"""

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from mtp.progress import bar
from mtp.sandbox.inside.frames import REQUEST_BYTES, Frames, Gone, framed
from mtp.sandbox.jail import ENVIRONMENT, Jail, Role, explain, jails
from mtp.sandbox.known import HIDING, KNOWN, QUICK
from mtp.sandbox.records import Isolation, Limits, Program, SandboxUnavailable, Verdict, WrongVerdict

START_SECONDS = 30.0
HANG_SECONDS = 20.0
"""A fork server that does not answer for so long is replaced; a compiler that runs away is the known reason."""
SILENCE_SECONDS = 300.0
"""A pair that reports nothing for so long is replaced: above what any limit allows a program on a starved machine."""
ATTEMPTS = 5
KILLED = "the program was killed from outside"
IN_FLIGHT = 2
"""Programs that a worker has been told: one runs, the next is at hand."""
LONGEST_SOURCE = 4 << 20


@dataclasses.dataclass
class Task:
    """A program on its way to a verdict."""

    program: Program
    limits: Limits
    attempts: int = 0
    careful: bool = False
    """Compile in the fork and send one request at a time: after something went wrong."""
    verdict: Verdict | None = None


class Worker:
    """A checker, its fork server, and what they have been told."""

    def __init__(self, jail: Jail, limits: Limits) -> None:
        """Raises `SandboxUnavailable` with the reason."""
        self.told: dict[int, Task] = {}
        self.number = 0
        self.known: dict[tuple[str, str, tuple[str, ...]], int] = {}
        self.heard = time.monotonic()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.control, theirs = socket.socketpair()
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        with tempfile.TemporaryFile() as errors:
            with theirs, left, right:
                for end in (left, right):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
                server = {"control": left.fileno(), "proc": proc, "memory_bytes": limits.memory_bytes}
                checker = {"control": right.fileno(), "parent": theirs.fileno(), "hang_seconds": HANG_SECONDS}
                self.start(jail, "server", server, (left.fileno(), proc), errors)
                self.start(jail, "checker", checker, (right.fileno(), theirs.fileno()), errors)
            os.close(proc)
            try:
                self.checker = self.greeted()
            except OSError as error:
                self.close()
                errors.seek(0)
                raise SandboxUnavailable(explain(errors.read().decode(errors="replace") or str(error))) from None
        self.control.settimeout(SILENCE_SECONDS)
        self.frames = Frames(self.control.recv, REQUEST_BYTES)
        self.tests_started = self.tests_cpu()

    def start(
        self, jail: Jail, role: Role, settings: dict[str, Any], descriptors: tuple[int, ...], errors: Any
    ) -> None:
        self.processes.append(
            subprocess.Popen(
                jail.command(role, settings, descriptors),
                env=ENVIRONMENT,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=descriptors,
            )
        )

    def greeted(self) -> int:
        """Wait until the checker is ready; its process id as it is seen from here."""
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.control.settimeout(START_SECONDS)
        data, ancillary, _, _ = self.control.recvmsg(1, socket.CMSG_SPACE(12))
        if not data:
            raise OSError("")
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        (pid,) = struct.unpack_from("i", ancillary[0][2])
        return int(pid)

    def tests_cpu(self) -> float:
        """CPU seconds of the checker so far."""
        with contextlib.suppress(OSError):
            return time.clock_gettime((~self.checker << 3) | 2)
        return 0.0

    def tell(self, task: Task) -> None:
        """Hand over a program; raises OSError when the checker is gone."""
        program = task.program
        key = program.prelude, program.tests, program.entry_points
        job: dict[str, Any] = {
            "id": self.number, "source": program.source, "careful": task.careful,
            "cpu_seconds": task.limits.cpu_seconds, "wall_seconds": task.limits.wall_seconds,
        }  # fmt: skip
        if key not in self.known:
            self.known[key] = len(self.known)
            job |= {"prelude": program.prelude, "tests": program.tests, "entry_points": program.entry_points}
        job["task"] = self.known[key]
        if not self.told:
            self.progressed()
        self.told[self.number] = task
        self.number += 1
        self.control.sendall(framed(json.dumps(job).encode()))

    def reports(self) -> list[tuple[Task, dict[str, Any]]]:
        """What has been reported; raises `Gone` or OSError when the checker is gone."""
        found = []
        self.frames.more()
        while len(self.frames.buffer) >= 4:
            report = json.loads(self.frames.next())
            found.append((self.told.pop(report["id"]), report))
        self.progressed()
        return found

    def progressed(self) -> None:
        self.heard = time.monotonic()
        self.tests_started = self.tests_cpu()

    def stuck(self) -> str:
        """Why the program in front is not going to end by itself; empty if it may."""
        if not self.told:
            return ""
        if self.tests_cpu() - self.tests_started > next(iter(self.told.values())).limits.tests_cpu_seconds:
            return "tests"
        return "silence" if time.monotonic() - self.heard > SILENCE_SECONDS else ""

    def close(self) -> None:
        """End both, by force if they do not end at once; their processes die with them."""
        self.control.close()
        for process in reversed(self.processes):
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.kill()
                process.wait()


class Pool:
    """Workers that stay warm between batches.

    The thread that opens a pool must outlive it: bubblewrap dies with the thread that started it.
    """

    def __init__(self, workers: int = 1, limits: Limits | None = None, isolation: Isolation = "full") -> None:
        """Raises `SandboxUnavailable` where programs cannot be isolated."""
        self.limits = limits or Limits()
        self.known = KNOWN if isolation == "weak" else KNOWN + HIDING
        reasons: list[str] = []
        self.workers: list[Worker | None] = []
        for self.jail in jails(isolation):
            try:
                self.workers = [Worker(self.jail, self.limits)]
                break
            except SandboxUnavailable as error:
                reasons.append(str(error))
        if not self.workers:
            raise SandboxUnavailable(reasons[0])
        self.workers += [None] * (workers - 1)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for worker in self.workers:
            if worker:
                worker.close()
        self.workers = []

    def check(self) -> None:
        """Run the known programs on every worker; raises `WrongVerdict` unless all get their verdicts."""
        for index in range(len(self.workers)):
            tasks = [Task(program, QUICK) for program, _ in self.known]
            self.drive(tasks, [index], lambda: None)
            for task, (program, expected) in zip(tasks, self.known, strict=True):
                found = task.verdict
                if found is None or found.verdict != expected:
                    raise WrongVerdict(
                        f"self-check of the sandbox: {found and found.verdict} ({found and found.detail}) where"
                        f" {expected} is right, for {program.source!r}"
                    )

    def run(self, programs: Sequence[Program], desc: str = "programs") -> list[Verdict]:
        """Verdicts in the order of the programs; equal programs run once. The self-check comes first.

        Raises:
            WrongVerdict: the self-check failed; nothing was run.
        """
        self.check()
        return self.judge(programs, desc)

    def judge(self, programs: Sequence[Program], desc: str = "programs") -> list[Verdict]:
        """As `run`, without the self-check: for a pool that has just been checked."""
        tasks = {program: Task(program, self.limits) for program in programs}
        with bar(total=len(tasks), desc=desc, unit="program") as progress:
            self.drive(list(tasks.values()), list(range(len(self.workers))), progress.update)
        # Alone, nothing of ours can keep a program waiting.
        for task in tasks.values():
            if task.verdict and task.verdict.verdict == "timeout_wall" and len(tasks) > 1:
                task.verdict = None
                self.drive([task], [0], lambda: None)
        verdicts = {program: task.verdict for program, task in tasks.items()}
        return [found for program in programs if (found := verdicts[program])]

    def started(self) -> Worker:
        """Another pair. This jail has held one before: a pair that does not start now was killed while it did."""
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(SandboxUnavailable):
                return Worker(self.jail, self.limits)
        return Worker(self.jail, self.limits)

    def drive(self, tasks: Sequence[Task], indices: Sequence[int], done: Callable[[], object]) -> None:
        """Run all tasks on these workers, replacing those that break."""
        waiting = deque(tasks)
        left = len(tasks)
        with selectors.DefaultSelector() as selector:

            def settle(task: Task, verdict: Verdict) -> None:
                nonlocal left
                task.verdict = verdict
                left -= 1
                done()

            def again(task: Task, why: str) -> None:
                """It runs carefully from now on: it may be what broke the pair."""
                task.attempts, task.careful = task.attempts + 1, True
                if task.attempts < ATTEMPTS:
                    waiting.appendleft(task)
                elif why == KILLED:  # every time: it does this to itself, by setting a limit of its own
                    settle(task, Verdict("crashed", "signal 9 before the answer", 0.0, True, False, False))
                else:
                    settle(task, Verdict("infra", why[:200], 0.0, False, False, False))

            def replace(index: int, why: str) -> None:
                worker = self.workers[index]
                assert worker is not None
                selector.unregister(worker.control)
                worker.close()
                self.workers[index] = None
                for place, task in reversed(list(enumerate(worker.told.values()))):
                    task.careful = True
                    if place:
                        waiting.appendleft(task)
                    elif why == "tests":
                        settle(task, Verdict("timeout_cpu", "in the tests", 0.0, True, True, False))
                    else:
                        again(task, why)

            def feed(index: int) -> None:
                while waiting and left:
                    worker = self.workers[index]
                    if worker is None:
                        worker = self.workers[index] = self.started()
                    if worker.control not in selector.get_map():
                        selector.register(worker.control, selectors.EVENT_READ, index)
                    if len(worker.told) >= IN_FLIGHT:
                        return
                    task = waiting.popleft()
                    if len(task.program.source) > LONGEST_SOURCE:
                        settle(task, Verdict("failed", "the program is too long", 0.0, False, False, False))
                        continue
                    try:
                        worker.tell(task)
                    except OSError as error:
                        replace(index, f"a worker ended: {error}")

            while left:
                for index in indices:
                    feed(index)
                for key, _ in selector.select(0.5):
                    index = key.data
                    worker = self.workers[index]
                    if worker is None or worker.control is not key.fileobj:
                        continue
                    try:
                        for task, report in worker.reports():
                            why = lost(report)
                            if why:
                                again(task, why)
                            else:
                                settle(task, verdict_of(report))
                    except (Gone, OSError, ValueError, KeyError, IndexError) as error:
                        replace(index, f"a worker ended: {error}")
                for index in indices:
                    worker = self.workers[index]
                    if worker and (why := worker.stuck()):
                        replace(index, why)


def lost(report: dict[str, Any]) -> str:
    """Why a report decides nothing; empty if it does."""
    if report["verdict"] == "again":
        return "the tests made other calls than predicted"
    if report["how"] == "killed" and report["verdict"] == "gone":
        return KILLED
    return ""


def verdict_of(report: dict[str, Any]) -> Verdict:
    """The checker's result and the way the process ended, as a verdict."""
    verdict, detail, how = report["verdict"], report["detail"], report["how"]
    if verdict == "gone":
        verdict, detail = ("timeout_cpu", "") if how == "timeout_cpu" else ("crashed", f"{how} before the answer")
    return Verdict(
        verdict, detail, round(float(report["cpu"]), 4), report["parses"], report["defines"], report["asserted"]
    )


def run_programs(
    programs: Sequence[Program],
    workers: int = 1,
    limits: Limits | None = None,
    desc: str = "programs",
    isolation: Isolation = "full",
) -> list[Verdict]:
    """Verdicts in the order of the programs; equal programs run once.

    Raises:
        SandboxUnavailable: nothing was run; says what is missing and how to get it.
        WrongVerdict: the self-check failed; nothing was run.
    """
    if not programs:
        return []
    with Pool(max(1, min(workers, len(set(programs)))), limits, isolation) as pool:
        return pool.run(programs, desc)


def require() -> None:
    """Raise `SandboxUnavailable` or `WrongVerdict` now rather than after hours of sampling."""
    with Pool() as pool:
        pool.check()

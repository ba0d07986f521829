"""Do the jobs of an unpacked bundle: side by side, within a time limit, again and again until all are done."""

import concurrent.futures
import contextlib
import dataclasses
import datetime
import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtp import elsewhere
from mtp.bundle.plan import Job, Plan
from mtp.errors import UserError
from mtp.progress import bar

NEEDED = ("torch", "numpy", "tqdm", "tokenizers", "safetensors")
WHOLE = 100
"""Percent of the machine."""
GRACE = 40.0
"""Seconds before the limit at which jobs are asked to save and stop; packing the results comes after."""
PATIENCE = 120.0
"""Seconds that a stopped job may take to write its checkpoint before it is killed."""
POLL = 0.2


@dataclasses.dataclass
class Machine:
    """What the jobs run on."""

    name: str
    gpu: bool
    cores: int

    def share(self, job: Job) -> int:
        """Percent of this machine for a job: what the scale says of a GPU, a core where there is none."""
        return job.share if self.gpu else max(1, WHOLE // self.cores)

    def threads(self, job: Job) -> int:
        return max(1, self.cores * self.share(job) // WHOLE)


def machine() -> Machine:
    """This one.

    Raises:
        UserError: a package is missing.
    """
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(f"not installed: {', '.join(lacking)}; a bundle needs {', '.join(NEEDED)}")
    import torch

    from mtp.provenance import describe

    gpu = torch.cuda.is_available()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(torch.cuda.get_device_name() if gpu else describe()["machine"]["cpu"], gpu, cores)


def done(job: Job) -> bool:
    """Whether a job of this very identity has ended here."""
    found = elsewhere.read(Path(job.folder), job.name)
    return found is not None and not elsewhere.differences(found, job.identity)


def encode(folders: Mapping[str, str], cores: int) -> None:
    """Make the tokens of the folders that lack them, each in a process of its own."""
    from mtp.data.tokenizer import encode_again, lacks

    todo = [(Path(source), Path(folder)) for folder, source in folders.items() if lacks(Path(folder))]
    if not todo:
        return
    os.environ["RAYON_NUM_THREADS"] = str(max(1, cores // len(todo)))
    with (
        concurrent.futures.ProcessPoolExecutor(min(cores, len(todo))) as pool,
        bar(total=len(todo), desc="encode", unit="folder") as progress,
    ):
        for future in concurrent.futures.as_completed([pool.submit(encode_again, *each) for each in todo]):
            future.result()
            progress.update()


class Runner:
    """Keeps jobs going until all are done, none can go on, or time is up."""

    def __init__(self, jobs: Sequence[Job], where: Machine, deadline: float | None) -> None:
        """`deadline`: in seconds of `time.monotonic`."""
        self.jobs, self.where, self.deadline = jobs, where, deadline
        self.finished = {job.title for job in jobs if done(job)}
        self.failed: dict[str, str] = {}
        """Title -> last line of the log."""
        self.running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
        self.stopped = False

    def run(self) -> None:
        """Returns when nothing runs any more."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        todo = [job for job in self.jobs if job.title not in self.finished]
        try:
            with bar(total=len(self.jobs), initial=len(self.finished), desc="bundle", unit="job") as progress:
                while True:
                    for _ in range(self._reap()):
                        progress.update()
                    if not self.stopped and self.deadline is not None and time.monotonic() > self.deadline - GRACE:
                        self.stopped = True
                    if self.stopped:
                        break
                    for job in self._startable(todo):
                        self._start(job)
                        todo.remove(job)
                    if not self.running:
                        break
                    progress.set_postfix_str(", ".join(self.running)[:60], refresh=False)
                    time.sleep(POLL)
            self._end()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped = True

    def _startable(self, todo: Sequence[Job]) -> list[Job]:
        """The next jobs in order that have what they need and room beside those that run."""
        free = WHOLE - sum(self.where.share(job) for job, _ in self.running.values())
        found = []
        for job in todo:
            if free < self.where.share(job):
                break  # in order: a large job does not wait until no small one is left
            if set(job.needs) <= self.finished:
                free -= self.where.share(job)
                found.append(job)
        return found

    def _start(self, job: Job) -> None:
        log = Path(job.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(self.where.threads(job))
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", job.module, *job.arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches this process, which asks the jobs to save
            )
        self.running[job.title] = (job, process)

    def _reap(self) -> int:
        """Take note of processes that have ended; returns how many jobs are done by that."""
        count = 0
        for title, (job, process) in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[title]
            written = [name for name in job.comes_back if (Path(job.folder) / name).exists()]
            if process.returncode == 0 and written:
                today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
                record = elsewhere.Done(job.identity, written, self.where.name, today)
                elsewhere.write(Path(job.folder), job.name, record)
                self.finished.add(title)
                count += 1
            elif not self.stopped:
                lines = Path(job.log).read_text(errors="replace").splitlines()
                self.failed[title] = f"{lines[-1] if lines else 'no output'} ({job.log})"
        return count

    def _end(self) -> None:
        """Ask the jobs that still run to save and stop; kill those that do not."""
        for _, process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        until = time.monotonic() + PATIENCE
        for _, process in self.running.values():
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._reap()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """
    Raises:
        UserError: another process does the jobs of this folder.
    """
    with Path(".bundle.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{os.getcwd()}: another process runs this bundle") from None
        yield


def run(plan: Plan, jobs: Sequence[Job], minutes: float | None) -> Runner:
    """Encode what must be encoded, then do the jobs.

    Raises:
        UserError: missing packages, damaged data, or a second process in the same folder.
    """
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with alone():
        where = machine()
        print(f"{where.name}, {where.cores} cores; bundle of {plan.scale} at commit {plan.commit}", flush=True)
        encode(plan.encode, where.cores)
        runner = Runner(jobs, where, deadline)
        runner.run()
    return runner

"""Run a module in a fork of a process that has the large libraries imported: jobs of seconds do not wait for them.

    python -m mtp.warm mtp.train --config ...        # as `python -m mtp.train --config ...`, two CPU seconds sooner

Importing torch, or what draws figures, takes about two seconds of CPU time, as long as many a job of the small scales
needs in all, and there are hundreds.
The first job starts a server beside itself; those that follow are forked from it. The server imports nothing of this
project, so a job always runs the code that is on the disk; it ends after three minutes without jobs. Where there
is none (another system, a server just starting), the module runs right here. So it does in a job of Slurm, which
accounts for the processes that it started and ends them.

A job has the caller's arguments, environment, folder and standard streams; signals sent to the caller reach it, it dies
with the caller, and its exit status becomes the caller's. What it inherits from the server instead are limits and
priority, those of the job that started it.
"""

import atexit
import contextlib
import gc
import hashlib
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

PRELOADED = (
    "torch",
    "torch._dynamo",  # every optimiser loads it, compiled or not
    "torch.distributed.fsdp",
    "torch.utils.checkpoint",
    "safetensors.torch",
    "tqdm",
    "scipy.stats",
    "pandas",
    "matplotlib.pyplot",
    "seaborn",
    "jinja2",
)
IDLE_SECONDS = 180.0
READ_AT_IMPORT = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "TORCH",
    "PYTORCH_",
    "CUDA_",
    "LD_",
    "PYTHON",
    "MALLOC_",
    "MPL",
)
"""Variables that libraries read when they are loaded: jobs that differ in one need servers of their own."""


def address() -> str:
    """Abstract socket of the server for this interpreter, folder and environment; it vanishes with the server."""
    environment = sorted(item for item in os.environ.items() if item[0].startswith(READ_AT_IMPORT))
    told = json.dumps([sys.executable, os.getcwd(), os.getuid(), environment])
    return "\0mtp-" + hashlib.sha256(told.encode()).hexdigest()[:32]


def same_user(connection: socket.socket) -> bool:
    """Abstract sockets have no permissions: ask the kernel who is at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


# ---- the caller -------------------------------------------------------------------------------------------------


def ask(module: str, arguments: list[str]) -> int | None:
    """Have a job run by the server; its exit status, as a shell has it, or None where there is no server."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address())
        except OSError:
            start_server()
            return None
        if not same_user(connection):
            return None
        job = {"module": module, "arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}
        text = json.dumps(job).encode()
        pid = 0
        early: list[int] = []

        def forward(number: int, _: FrameType | None) -> None:
            if pid:
                os.kill(pid, number)
            else:
                early.append(number)

        for forwarded in (signal.SIGINT, signal.SIGTERM):
            signal.signal(forwarded, forward)
        try:
            socket.send_fds(connection, [struct.pack("!I", len(text))], [0, 1, 2])
            connection.sendall(text)
            pid = received(connection)
            for missed in early:
                os.kill(pid, missed)
            return received(connection)
        except (OSError, EOFError):
            print("the process with torch in it has ended; starting afresh", file=sys.stderr)
            return None
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def received(connection: socket.socket) -> int:
    """What `say` sent; raises EOFError."""
    # A signal that arrives just before a wait does not end it; Python acts on it when the wait does.
    while not select.select([connection], [], [], 0.5)[0]:
        pass
    data = connection.recv(4, socket.MSG_WAITALL)
    if len(data) < 4:
        raise EOFError
    return int.from_bytes(data, "big", signed=True)


def start_server() -> None:
    """For the jobs that follow."""
    subprocess.Popen(
        [sys.executable, "-m", "mtp.warm"],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


# ---- the server -------------------------------------------------------------------------------------------------


class Server:
    """Forks once per job."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self.start)
        self.running = 0

    def serve(self) -> dict[str, Any] | None:
        """Until no job has come or run for a while; then None, and in a fork its job."""
        heard = time.monotonic()
        while self.running or time.monotonic() - heard < IDLE_SECONDS:
            for key, _ in self.selector.select(IDLE_SECONDS / 4):
                heard = time.monotonic()
                if job := key.data():
                    return dict(job)
        return None

    def start(self) -> dict[str, Any] | None:
        """Take a caller; returns its job in the fork that has to do it."""
        connection, _ = self.listener.accept()
        job = job_of(connection)
        if job is None:
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            for key in list(self.selector.get_map().values()):  # or callers of other jobs miss it when this server dies
                key.fileobj.close() if isinstance(key.fileobj, socket.socket) else os.close(key.fd)
            self.selector.close()
            connection.close()
            return job
        for descriptor in job["streams"]:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        self.selector.register(ended, selectors.EVENT_READ, lambda: self.end(pid, ended, connection))
        self.selector.register(connection, selectors.EVENT_READ, lambda: self.kill(pid, connection))
        self.running += 1
        say(connection, pid)
        return None

    def kill(self, pid: int, connection: socket.socket) -> None:
        """The caller has died: nothing else makes its socket readable."""
        if connection.fileno() >= 0:  # its job has not just ended
            os.kill(pid, signal.SIGKILL)

    def end(self, pid: int, ended: int, connection: socket.socket) -> None:
        """Tell the caller how its job ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.selector.unregister(ended)
        self.selector.unregister(connection)
        os.close(ended)
        say(connection, status)
        connection.close()
        self.running -= 1


def serve() -> dict[str, Any] | None:
    """Be the server unless there is one; returns None in the end, and in a fork its job."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address())
    except OSError:
        return None
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # a collection in a fork is not to touch, and thereby copy, what is shared
    listener.listen(128)
    return Server(listener).serve()


def job_of(connection: socket.socket) -> dict[str, Any] | None:
    """What a caller wants; None if it is not for us."""
    if not same_user(connection):
        return None
    connection.settimeout(10)
    try:
        size, streams, _, _ = socket.recv_fds(connection, 4, 3)
        text = b"".join(parts(connection, int.from_bytes(size, "big")))
        return {**json.loads(text), "streams": streams}
    except (OSError, ValueError):
        return None


def parts(connection: socket.socket, size: int) -> Iterator[bytes]:
    """So many bytes."""
    while size:
        part = connection.recv(size)
        if not part:
            raise ValueError("cut off")
        size -= len(part)
        yield part


def say(connection: socket.socket, number: int) -> None:
    """Send a number to a caller that may be gone."""
    with contextlib.suppress(OSError):
        connection.sendall(number.to_bytes(4, "big", signed=True))


def take_over(job: dict[str, Any]) -> None:
    """In a fork: become what the caller would have been."""
    for number, descriptor in enumerate(job["streams"]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])


def main() -> None:
    if len(sys.argv) < 2:
        job = serve()
        if job is None:
            return
        take_over(job)
        leave(job["module"], job["arguments"])
    else:
        module, arguments = sys.argv[1], sys.argv[2:]
        status = ask(module, arguments) if sys.platform == "linux" and "SLURM_JOB_ID" not in os.environ else None
        if status is not None:
            if status < 0:  # ended by a signal: end by the same
                signal.signal(-status, signal.SIG_DFL)
                os.kill(os.getpid(), -status)
            sys.exit(status)
        become(module, arguments)


def become(module: str, arguments: list[str]) -> None:
    """Run a module as `python -m` does."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def leave(module: str, arguments: list[str]) -> None:
    """Run a module in a fork, and end without taking the interpreter apart.

    That would write to every object of the libraries, so that all their pages, shared until then, would be copied:
    1.4 s a job. What is registered for the end is called as always.
    """
    status = 0
    try:
        become(module, arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except Exception:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as the interpreter's end does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()

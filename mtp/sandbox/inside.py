"""What runs inside bubblewrap: two programs in one file that needs nothing but the standard library.

    candidate server   forks once per program; the child executes the program and answers calls to its function
    checker            executes the test; its calls of the function go to that child as messages

They live in sandboxes of their own and share only one socket per program. Across it go lengths and JSON with
tags: plain data, never code, pickles or objects with behaviour. The checker alone decides the verdict, and no
line of the candidate's program ever runs in it.

The parent (`mtp.sandbox.box`) starts `python inside.py ROLE FD`, FD being a control socket.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import platform
import random
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from typing import Any

LONGEST_MESSAGE = 4 << 20
"""Bytes that the checker accepts as one answer."""
LONGEST_PROGRAM = 16 << 20
TMP = "/tmp"
PRELOADED = (
    "bisect", "cmath", "collections", "copy", "datetime", "functools", "hashlib", "heapq", "itertools", "math",
    "operator", "re", "string", "typing",
)  # fmt: skip
"""What reference solutions import: loaded once instead of once per program."""

# ---- messages: 4 bytes of length, then JSON ---------------------------------------------------------------


class Gone(BaseException):
    """The other end has closed the socket. Not an `Exception`: no test may catch it by accident."""


class Protocol(BaseException):
    """A message that no honest child sends: too long, not JSON, or not in the codec's form."""


def receive(sock: socket.socket, longest: int) -> bytes:
    """One framed message."""

    def exactly(count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = sock.recv(min(1 << 20, count - len(parts)))
            except ConnectionError:
                part = b""
            if not part:
                raise Gone
            parts += part
        return bytes(parts)

    (length,) = struct.unpack("!I", exactly(4))
    if length > longest:
        raise Protocol(f"a message of {length} bytes")
    return exactly(length)


def send(sock: socket.socket, message: Any, longest: int = LONGEST_PROGRAM) -> None:
    """Frame and send a JSON value."""
    text = json.dumps(message).encode()
    if len(text) > longest:
        raise Protocol(f"a message of {len(text)} bytes")
    try:
        sock.sendall(struct.pack("!I", len(text)) + text)
    except ConnectionError:
        raise Gone from None


def pack(value: Any) -> Any:
    """A Python value as JSON: lists as lists, everything that JSON lacks as {tag: ...}.

    Subclasses are reduced to their base by the base's own methods, so what a subclass overrides does not
    matter; anything else becomes {"opaque": type name}.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    bases = kind.__mro__
    if int in bases:
        number = int.__index__(value)
        return number if -(2**53) < number < 2**53 else {"int": hex(number)}
    if float in bases:
        return float.__float__(value)
    if str in bases:
        return str.__str__(value)
    if list in bases:
        return [pack(item) for item in list.__iter__(value)]
    for tag, base in (("tuple", tuple), ("set", set), ("frozenset", frozenset)):
        if base in bases:
            return {tag: [pack(item) for item in base.__iter__(value)]}  # type: ignore[attr-defined]
    if dict in bases:
        return {"dict": [[pack(key), pack(item)] for key, item in dict.items(value)]}
    if kind is bytes or kind is bytearray:
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    return {"opaque": kind.__name__[:100]}


class Opaque:
    """Stands in the checker for a value that is no plain data; equal to nothing but itself."""


def unpack(value: Any) -> Any:
    """The inverse of `pack`; raises `Protocol` for anything else."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [unpack(item) for item in value]
    try:
        ((tag, body),) = value.items()
        match tag:
            case "int":
                return int(body, 16)
            case "tuple":
                return tuple(unpack(item) for item in body)
            case "set":
                return {unpack(item) for item in body}
            case "frozenset":
                return frozenset(unpack(item) for item in body)
            case "dict":
                return {unpack(key): unpack(item) for key, item in body}
            case "bytes":
                return bytes.fromhex(body)
            case "bytearray":
                return bytearray.fromhex(body)
            case "complex":
                return complex(float(body[0]), float(body[1]))
            case "opaque":
                return Opaque()
    except (AttributeError, IndexError, TypeError, ValueError):
        pass
    raise Protocol("an answer that is no plain data")


# ---- the candidate's process --------------------------------------------------------------------------------

SYSTEM_CALLS = {
    # audit architecture, then numbers: clone, clone3, and what is refused (kernel tables)
    "x86_64": (
        0xC000003E,
        {"clone": 56, "clone3": 435},
        # fork vfork execve execveat socket socketpair ptrace process_vm_readv/writev unshare setns mount umount2
        # pivot_root chroot kill tkill bpf keyctl add_key request_key userfaultfd perf_event_open io_uring_setup
        # pidfd_open pidfd_getfd pidfd_send_signal memfd_create shmget semget msgget mq_open
        (57, 58, 59, 322, 41, 53, 101, 310, 311, 272, 308, 165, 166, 155, 161, 62, 200, 321, 250, 248, 249, 323,
         298, 425, 434, 438, 424, 319, 29, 64, 68, 240),
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "clone3": 435},
        # the same without fork, vfork (there are none)
        (221, 281, 198, 199, 117, 270, 271, 97, 268, 40, 39, 41, 51, 129, 130, 280, 219, 217, 218, 282, 241, 425,
         434, 438, 424, 279, 194, 190, 186, 180),
    ),
}  # fmt: skip
CLONE_THREAD = 0x10000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def seccomp_filter(machine: str) -> bytes:
    """BPF program: refuse new processes (threads may start), sockets, tracing, mounts; allow the rest.

    RLIMIT_NPROC would not do: it does not bind a process that is root outside the sandbox.
    """
    architecture, numbers, refused = SYSTEM_CALLS[machine]
    allow, eperm, enosys, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    load, equal, at_least, mask, answer = 0x20, 0x15, 0x35, 0x45, 0x06

    def op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, k)

    program = [op(load, 4), op(equal, architecture, 1, 0), op(answer, kill), op(load, 0)]
    # Numbers from 2^30 on are the x32 calls of an x86-64 kernel: a second door to the same calls.
    program += [op(at_least, 0x40000000, 0, 1), op(answer, eperm)]
    program += [op(equal, numbers["clone3"], 0, 1), op(answer, enosys)]  # libc falls back to clone
    for number in refused:
        program += [op(equal, number, 0, 1), op(answer, eperm)]
    program += [op(equal, numbers["clone"], 0, 3), op(load, 16), op(mask, CLONE_THREAD, 1, 0), op(answer, eperm)]
    program += [op(answer, allow)]
    return b"".join(program)


class Lockdown:
    """The seccomp filter, prepared before the fork."""

    def __init__(self) -> None:
        self.prctl = ctypes.CDLL(None, use_errno=True).prctl
        code = seccomp_filter(platform.machine())
        self.program = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(self.program))
        self.header = ctypes.create_string_buffer(header)

    def apply(self) -> None:
        """Raises OSError; the child then ends before the program starts."""
        for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, self.header, 0, 0)):
            if self.prctl(*call):
                raise OSError(ctypes.get_errno(), "seccomp")


def candidate(channel: int, null: int, order: dict[str, Any], lockdown: Lockdown) -> None:
    """The child of one program: limits, then the program, then answers to calls until it is killed."""
    os.setsid()
    for number in range(3):
        os.dup2(null, number)
    os.dup2(channel, 3)
    os.closerange(4, 65536)
    seconds = int(order["cpu_seconds"]) + 1
    for what, limit in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, order["memory_bytes"]),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 64),
    ):
        resource.setrlimit(what, (limit, limit))
    os.chdir(TMP)
    random.seed(0)
    lockdown.apply()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=3)
    job = json.loads(receive(sock, LONGEST_PROGRAM))
    try:
        code = compile(job["source"], "<program>", "exec")
    except BaseException as error:
        send(sock, {"parses": False, "raised": type(error).__name__[:100]})
        return
    names: dict[str, Any] = {}
    try:
        exec(code, names)
        function = names.get(job["entry"])
    except BaseException as error:
        send(sock, {"parses": True, "raised": type(error).__name__[:100]})
        return
    send(sock, {"parses": True, "defines": callable(function)})
    while True:
        args, kwargs = unpack(json.loads(receive(sock, LONGEST_PROGRAM)))
        try:
            answer = {"value": pack(function(*args, **kwargs))}  # type: ignore[misc]
            send(sock, answer, LONGEST_MESSAGE)
        except Gone:
            return
        except BaseException as error:
            send(sock, {"raised": type(error).__name__[:100]})


# ---- the candidate server: process 1 of its namespace ---------------------------------------------------------


def watch(child: int, order: dict[str, Any], control: socket.socket) -> tuple[str, float]:
    """Wait until the child ends, reaches a limit or the parent says it is done; leave no process alive.

    Returns how it ended and its CPU seconds.
    """
    started = time.monotonic()
    clock = (~child << 3) | 2  # CPU time of another process (posix clock of a process id)
    ended = os.pidfd_open(child)
    how = ""
    while not how:
        try:
            cpu_left = order["cpu_seconds"] - time.clock_gettime(clock)
        except OSError:
            cpu_left = 1.0
        wall_left = order["wall_seconds"] - (time.monotonic() - started)
        if cpu_left <= 0:
            how = "timeout_cpu"
        elif wall_left <= 0:
            how = "timeout_wall"
        else:
            # CPU time cannot run ahead of the wall clock by more than the threads do: look again in time.
            ready, _, _ = select.select([ended, control.fileno()], [], [], max(0.005, min(cpu_left / 2, wall_left)))
            if ended in ready:
                how = "exited"
            elif ready:
                message = control.recv(4096)
                if not message or json.loads(message) == {"end": order["id"]}:
                    # A child that has just died closes its socket a moment before it can be reaped.
                    how = "exited" if select.select([ended], [], [], 0.02)[0] else "ended"
    os.close(ended)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # as process 1: everything in this namespace but us
    cpu = 0.0
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            cpu = usage.ru_utime + usage.ru_stime
            if how == "exited":
                code = os.waitstatus_to_exitcode(status)
                how = f"signal {-code}" if code < 0 else f"status {code}"
                if code in (-signal.SIGXCPU, -signal.SIGKILL) and cpu >= order["cpu_seconds"]:
                    how = "timeout_cpu"
    return how, cpu


def empty_folder(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


def serve_candidates(control: socket.socket) -> None:
    """Fork once per order; the order comes with the program's socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # process 1 gets no signal that it does not handle
    for name in PRELOADED:
        importlib.import_module(name)
    lockdown = Lockdown()
    null = os.open("/dev/null", os.O_RDWR)
    gc.collect()
    gc.freeze()
    control.send(b'{"ready": true}')
    while True:
        message, passed, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            return
        order = json.loads(message)
        if "end" in order:
            continue  # of a program that has ended by itself
        child = os.fork()
        if child == 0:
            try:
                candidate(passed[0], null, order, lockdown)
            finally:
                os._exit(1)
        os.close(passed[0])
        how, cpu = watch(child, order, control)
        empty_folder(TMP)
        control.send(json.dumps({"id": order["id"], "how": how, "cpu": cpu}).encode())


# ---- the checker ----------------------------------------------------------------------------------------------


class CandidateRaised(Exception):
    """The function raised; the exception itself stays over there, this is its name."""


def check(sock: socket.socket, job: dict[str, Any], compiled: dict[str, Any]) -> dict[str, Any]:
    """Run one test against the child at the other end of `sock`."""
    found: dict[str, Any] = {"parses": False, "defines": False}

    def ask(message: Any) -> dict[str, Any]:
        send(sock, message)
        try:
            answer = json.loads(receive(sock, LONGEST_MESSAGE))
            if "raised" not in answer:
                return dict(answer)
            found.update(parses=found["parses"] or answer.get("parses", False) is True)
            raised = ascii(str(answer["raised"])[:100])[1:-1]
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise Protocol("an answer that is not in the agreed form") from None
        raise CandidateRaised(raised)

    def call(*args: Any, **kwargs: Any) -> Any:
        answer = ask(pack((args, kwargs)))
        try:
            return unpack(answer["value"])
        except (KeyError, RecursionError):
            raise Protocol("an answer that is not in the agreed form") from None

    try:
        loaded = ask({"source": job["source"], "entry": job["entry"]})
        found.update(parses=loaded.get("parses") is True, defines=loaded.get("defines") is True)
        if not found["defines"]:
            raise CandidateRaised("NameError")
        names: dict[str, Any] = {}
        random.seed(0)
        for part in ("prelude", "test"):
            text = job[part]
            if text not in compiled:
                compiled[text] = compile(text, f"<{part}>", "exec")
            exec(compiled[text], names)
            names[job["entry"]] = call
        names["check"](call)
        return found | {"result": "passed", "detail": ""}
    except Gone:
        return found | {"result": "gone", "detail": ""}
    except Protocol as error:
        return found | {"result": "protocol", "detail": str(error)}
    except CandidateRaised as error:
        return found | {"result": "memory" if str(error) == "MemoryError" else "failed", "detail": str(error)}
    except AssertionError:
        return found | {"result": "failed", "detail": "wrong answer"}
    except BaseException as error:
        return found | {"result": "failed", "detail": f"in the test: {type(error).__name__}"}


def serve_checks(control: socket.socket) -> None:
    """Check programs one after the other; the job comes framed, its socket with the first byte."""
    compiled: dict[str, Any] = {}
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    control.sendall(b'{"ready": true}')
    while True:
        byte, passed, _, _ = socket.recv_fds(control, 1, 1)
        if not byte:
            return
        job = json.loads(receive(control, 2 * LONGEST_PROGRAM))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=passed[0]) as sock:
            report = check(sock, job, compiled)
            send(control, report)


if __name__ == "__main__":
    role, descriptor = sys.argv[1:]
    if role == "candidates":
        serve_candidates(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=int(descriptor)))
    else:
        serve_checks(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=int(descriptor)))

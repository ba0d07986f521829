"""Many programs over a few workers: self-check first, equal programs once, verdicts in order."""

import queue
import threading
from collections.abc import Mapping, Sequence

from mtp.progress import bar
from mtp.sandbox.box import Box, Limits, Name, Program, SandboxUnavailable, Verdict


class WrongVerdict(Exception):
    """The self-check failed: no verdict of this sandbox can be trusted, nothing was run."""


def humaneval_program(problem: Mapping[str, str], completion: str) -> Program:
    """Program of a completion; `problem` is a row in HumanEval's format.

    The prompt alone is a valid module (its function has the docstring as body), and gives the test the helpers
    and imports that some tests use.
    """
    prompt = problem["prompt"]
    return Program(prompt + completion, prompt + "    pass\n", problem["test"], problem["entry_point"])


_TEST = "def check(candidate):\n    assert candidate(2, 3) == [5, (2, 3)]\n"
_QUICK = Limits(cpu_seconds=0.2, wall_seconds=5.0)


def _known(body: str) -> Program:
    return Program(f"def f(a, b):\n{body}", "", _TEST, "f")


KNOWN: tuple[tuple[Program, Name], ...] = (
    (_known("    return [a + b, (a, b)]\n"), "passed"),
    (_known("    return [a + b, [a, b]]\n"), "failed"),
    (_known("    while True: pass\n"), "timeout_cpu"),
    (_known("    import os\n    os._exit(0)\n"), "crashed"),
    (_known("    raise SystemExit(0)\n"), "failed"),
    (_known("    return type('A', (list,), {'__eq__': lambda s, o: True})()\n"), "failed"),
    (_known("    import os\n    return [5, (2, 3)] if os.path.exists('/etc') or os.fork() >= 0 else 0\n"), "failed"),
    (_known("    return [a + b\n"), "failed"),
    (_known("    return [a + b, (a, b)]\n"), "passed"),
)
"""Programs whose verdict is known: right, wrong, looping, exiting, forging, escaping, broken, right again."""


def self_check(box: Box) -> None:
    """Raise `WrongVerdict` unless all known programs get their verdicts."""
    for program, expected in KNOWN:
        found = box.run(program, _QUICK)
        if found.verdict != expected:
            raise WrongVerdict(
                f"self-check of the sandbox: {found.verdict} ({found.detail}) where {expected} is right,"
                f" for {program.source!r}"
            )


def run_programs(
    programs: Sequence[Program], workers: int = 1, limits: Limits | None = None, desc: str = "programs"
) -> list[Verdict]:
    """Verdicts in the order of the programs; equal programs run once.

    Raises:
        SandboxUnavailable: nothing was run; says what is missing and how to get it.
        WrongVerdict: the self-check failed; nothing was run.
    """
    limits = limits or Limits()
    distinct = list(dict.fromkeys(programs))
    waiting: queue.SimpleQueue[Program] = queue.SimpleQueue()
    for program in distinct:
        waiting.put(program)
    verdicts: dict[Program, Verdict] = {}
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with Box() as box:
                self_check(box)
                while not errors:
                    program = waiting.get_nowait()
                    verdicts[program] = box.run(program, limits)
                    progress.update()
        except queue.Empty:
            pass
        except BaseException as error:
            errors.append(error)

    with bar(total=len(distinct), desc=desc, unit="program") as progress:
        threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, min(workers, len(distinct))))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return [verdicts[program] for program in programs]


def require() -> None:
    """Raise `SandboxUnavailable` or `WrongVerdict` now rather than after hours of sampling."""
    with Box() as box:
        self_check(box)


__all__ = ["SandboxUnavailable", "WrongVerdict", "humaneval_program", "require", "run_programs", "self_check"]

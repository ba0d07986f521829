"""Run untrusted Python programs against tests, isolated.

    python -m mtp.sandbox --problems HumanEval.jsonl.gz --samples samples.jsonl --out verdicts.jsonl

    from mtp.sandbox import humaneval_program, run_programs
    verdicts = run_programs([humaneval_program(problem, completion) for completion in completions])

Who decides. The tests run in a process of their own, in a sandbox of their own; the candidate's function is a
remote call that returns plain data. Frames, garbage collector, patched builtins, exit status, output and
objects that claim to be equal to everything therefore reach no verdict: the candidate can only answer.

What this withstands: reading tests, solutions, the project or the user's files; network; further processes;
CPU, memory, file and descriptor hogs; programs that sleep, exit, crash, catch everything or leave things in
/tmp. What it does not promise: a hole in the kernel's namespaces or in CPython's JSON reader; a list of
refused system calls is weaker than a list of allowed ones; inodes of the 8 MiB /tmp are limited only by CPU time;
a machine under memory pressure may kill the wrong process (the program is then run again).

What differs from running the tests in the candidate's process: answers are plain data (None, numbers, text,
bytes, lists, tuples, sets, dictionaries, subclasses as their base); a generator or an own class as an answer
counts as wrong, and changes that the function makes to its arguments are not seen. No HumanEval test asks for
either.
"""

from mtp.sandbox.box import Limits, Program, SandboxUnavailable, Verdict
from mtp.sandbox.pool import WrongVerdict, humaneval_program, require, run_programs

__all__ = [
    "Limits",
    "Program",
    "SandboxUnavailable",
    "Verdict",
    "WrongVerdict",
    "humaneval_program",
    "require",
    "run_programs",
]

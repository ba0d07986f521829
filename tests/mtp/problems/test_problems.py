"""What all benchmarks promise, and HumanEval."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from mtp import problems
from mtp.errors import UserError
from mtp.problems import Problem, __main__, humaneval
from tests.mtp.conftest import FOLDER


def every() -> list[Problem]:
    """All problems at hand, MBPP in both styles."""
    found = list(problems.load("humaneval"))
    for style in ("zero-shot", "3-shot") if FOLDER else ():
        for split in ("prompt", "test", "validation", "train"):
            found += problems.load("mbpp", split=split, style=style, folder=str(FOLDER))
    return found


def test_names() -> None:
    assert problems.names() == ("apps", "gsm8k", "humaneval", "mbpp")
    with pytest.raises(UserError, match="did you mean 'mbpp'"):
        problems.load("mbp")


def test_every_problem_is_whole() -> None:
    """Programs of references parse and define the first entry point; preludes and tests parse; no CR anywhere."""
    for problem in every():
        tree = ast.parse(problem.opening + problem.answer(problem.reference))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert problem.entry_points[0] in defined, problem.task_id
        tests = ast.parse(problem.prelude + problem.tests)
        assert any(isinstance(node, ast.Assert) for node in ast.walk(tests)), problem.task_id
        used = {node.id for node in ast.walk(tests) if isinstance(node, ast.Name)}
        assert set(problem.entry_points) <= used, problem.task_id
        assert problem.stops and problem.prompt and "\r" not in problem.prompt + problem.reference + problem.tests


def test_humaneval() -> None:
    found = problems.load("humaneval")
    assert len(found) == 164 and found[0].task_id == "HumanEval/0"
    assert all(p.opening == p.prompt and len(p.entry_points) == 1 for p in found)
    assert found[32].entry_points == ("find_zero",) and "def poly" in found[32].prelude  # the tests call poly too
    assert found[0].tests.endswith("\ncheck(has_close_elements)\n")


def test_another_humaneval_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(humaneval, "SHA256", "0" * 64)
    humaneval.load.cache_clear()
    with pytest.raises(UserError, match=r"HumanEval\.jsonl\.gz: not the HumanEval of 164 problems"):
        humaneval.load()
    humaneval.load.cache_clear()


def test_list_and_show(capsys: pytest.CaptureFixture[str], empty: Path) -> None:
    __main__.main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "164 problems" in lines[2] and "MTP_BENCHMARKS" in lines[1] and "MTP_" in lines[3]
    __main__.main(["show", "HumanEval/0"])
    said = capsys.readouterr().out
    assert "--- entry points\nhas_close_elements" in said and "--- tests" in said
    for task_id, message in (("HumanEval/999", "no such problem"), ("HumanEvil/1", "did you mean 'humaneval'")):
        with pytest.raises(SystemExit, match="2"):
            __main__.main(["show", task_id])
        assert message in capsys.readouterr().err


def test_no_torch() -> None:
    code = "import sys, mtp.problems.__main__, mtp.problems.apps, mtp.problems.mbpp; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

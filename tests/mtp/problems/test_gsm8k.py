"""GSM8K: made-up problems in its format; fetched once it is offered, from a folder or the hub."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mtp.errors import UserError
from mtp.problems import Unavailable, __main__, _files, _hub, gsm8k


def row(have: int, buy: int) -> dict[str, str]:
    """A problem as the data set writes it."""
    total = have + buy
    return {
        "question": f"Ida has {have} pears and buys {buy} more. How many pears has she?",
        "answer": f"She has {have}+{buy}=<<{have}+{buy}={total}>>{total} pears.\n#### {total}",
    }


ROWS = [row(n, 2) for n in (1, 2, 3, 1000, 1001, 1002)]


def small_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the file, as if each split had three problems."""
    monkeypatch.setattr(gsm8k, "SPLITS", {"train": range(3), "test": range(3, 6)})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / gsm8k.FILE).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def test_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(small_data(tmp_path, monkeypatch))
    assert gsm8k.rows("train", folder) == ROWS[:3] and gsm8k.rows("test", folder) == ROWS[3:]
    problem = gsm8k.load("train", folder)[2]
    assert problem.task_id == "GSM8K/2"
    assert problem.prompt == "Q: Ida has 3 pears and buys 2 more. How many pears has she?\nA:"
    assert problem.reference == " She has 3+2=5 pears. The answer is 5.\n\n"
    with pytest.raises(UserError, match="split: unknown 'tets'; did you mean 'test'"):
        gsm8k.load("tets")


def test_fetched_once_it_is_offered(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its evaluations run again, and no more: what is here stays, offered or not."""
    __main__.main(["fetch", "gsm8k"])
    told = json.loads((_files.KEPT / "gsm8k.json").read_text())
    assert told["status"] == "unavailable" and "no network" in told["reason"] and "MTP_BENCHMARKS" in told["reason"]
    with pytest.raises(Unavailable, match="no network"):
        gsm8k.load()
    before = _files.state("gsm8k", gsm8k.FILE)
    monkeypatch.setenv(_files.ENVIRONMENT, str(small_data(empty / "mine", monkeypatch)))
    offered = _files.state("gsm8k", gsm8k.FILE)
    assert before == "" != offered
    __main__.main(["fetch", "gsm8k"])
    monkeypatch.delenv(_files.ENVIRONMENT)
    assert _files.state("gsm8k", gsm8k.FILE) == offered and len(gsm8k.load()) == 3


def test_fetch_from_the_hub(empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small_data(empty, monkeypatch)
    served = {"train": ROWS[:3], "test": ROWS[3:]}

    def load_dataset(*arguments: Any, split: str, revision: str) -> list[dict[str, str]]:
        assert arguments == (gsm8k.DATASET, "main") and revision == gsm8k.REVISION
        return served[split]

    monkeypatch.setattr(_hub, "no_hub", lambda: "")
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    __main__.main(["fetch", "gsm8k"])
    assert (_files.KEPT / gsm8k.FILE).read_bytes() == (empty / gsm8k.FILE).read_bytes()
    served["test"] = served["test"][1:]
    __main__.main(["fetch", "gsm8k"])  # what is here is not asked for again
    (_files.KEPT / gsm8k.FILE).unlink()
    with pytest.raises(SystemExit):
        __main__.main(["fetch", "gsm8k"])
    assert "5 problems instead of 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"question": "?"}\n', "not the lines of GSM8K"), ('{"question": "?", "answer": "!"}\n', "1 lines; train")],
)
def test_another_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / gsm8k.FILE).write_text(text)
    with pytest.raises(UserError, match=message):
        gsm8k.load(folder=str(tmp_path))

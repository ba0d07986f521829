"""Evaluations that are drawn on one machine and judged on another: the same numbers, and whose file is taken."""

import gzip
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mtp import drawn, elsewhere, evaluate, finetuning, provenance
from mtp.completions import Sample
from mtp.errors import UserError
from mtp.evals import _samples, module_of, names
from mtp.finetuning import small_contests
from mtp.generate import generate
from mtp.sandbox import pool
from mtp.sandbox.records import SandboxUnavailable
from tests.conftest import ROOT
from tests.mtp.conftest import FOLDER, needs_mbpp
from tests.mtp.evals.conftest import SETTINGS, Folders, command, isolated, one_line
from tests.mtp.evals.test_whitespace import LIKELIHOOD, SAMPLING

WEIGHTS = "model.safetensors"
MBPP = SETTINGS | {"split": "validation", "style": "zero-shot"} | ({"folder": str(FOLDER)} if FOLDER else {})
WHITESPACE = LIKELIHOOD | {"problems": 2, "samples": 2, "benchmarks": ["HumanEval", "APPS/Intro"]} | SAMPLING


def draw(folders: Folders, name: str, values: dict[str, Any], out: Path | None = None) -> Path:
    """`python -m mtp.evaluate --draw` in this process; returns the file that it leaves."""
    run, data = folders
    out = out or run / f"{name}.json"
    options = {"run": run, "data": data, "eval": name, "settings": json.dumps(values), "out": out}
    evaluate.main(["--draw", *(str(text) for key, value in options.items() for text in (f"--{key}", value))])
    return drawn.path_of(out, name)


def content(file: Path) -> drawn.Drawn:
    """Whatever its identity."""
    return drawn.Drawn(**json.loads(gzip.decompress(file.read_bytes())))


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on where things were done."""
    return {key: value for key, value in result.items() if key not in ("seconds", "provenance", "drawn")}


def samples(folder: Path) -> dict[str, bytes]:
    return {path.name: gzip.decompress(path.read_bytes()) for path in folder.glob("*.samples.jsonl.gz")}


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"config.json", WEIGHTS}


def test_an_evaluation_is_whole_or_in_two_parts() -> None:
    """Whoever draws names the modules that decide what is drawn."""
    two = {name for name in names() if hasattr(module_of(name), "draw")}
    assert two == {"humaneval", "mbpp", "apps", "contests", "whitespace", "induction"}
    for name in names():
        module = module_of(name)
        assert hasattr(module, "run") != hasattr(module, "draw") == hasattr(module, "judge")
        assert name not in two or provenance.fingerprint(module.DRAWS[0], module.DRAWS[1:])


@isolated
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("humaneval", SETTINGS),
        pytest.param("mbpp", MBPP, marks=needs_mbpp),
        ("contests", SETTINGS),
        ("whitespace", WHITESPACE),
    ],
    ids=["humaneval", "mbpp", "contests", "whitespace"],
)
def test_two_machines_find_what_one_finds(folders: Folders, name: str, values: dict[str, Any], empty: Path) -> None:
    """The weights are gone before the second part."""
    run, data = folders
    if name == "contests":
        manifest = {"vocabulary": {"name": "bytes"}, "corpus": {"set": "small_contests"}}
        (data / "manifest.json").write_text(json.dumps(manifest))
        for split, examples in small_contests.examples(small_contests.check({})).items():
            finetuning.write(data, split, examples)
    alone = command(folders, name, values)
    told = samples(run)
    assert told and left(run) == {f"{name}.json", *told}, "what was drawn here has gone"
    for file in left(run):
        (run / file).unlink()
    file = draw(folders, name, values)
    assert left(run) == {file.name}
    kept = file.read_bytes()
    (run / WEIGHTS).unlink()
    for _ in range(1 + (name == "humaneval")):  # and again, after the result was deleted
        apart = command(folders, name, values)
        assert numbers(apart) == numbers(alone) and samples(run) == told
        assert file.read_bytes() == kept
        (run / f"{name}.json").unlink()
    assert alone["drawn"].keys() == apart["drawn"].keys() == {"seconds", "provenance"}
    for one in (alone, apart):
        assert one["drawn"]["provenance"]["device"] and one["drawn"]["provenance"]["arithmetic"]
        assert one["seconds"] >= one["drawn"]["seconds"] and one["provenance"]["machine"]["cpu"]
    assert "device" in alone["provenance"] and "device" not in apart["provenance"]


@isolated
def test_judging_needs_no_torch(folders: Folders) -> None:
    run, data = folders
    draw(folders, "humaneval", SETTINGS)
    code = f"""
import sys
from pathlib import Path
from mtp import evaluate
run = Path({str(run)!r})
evaluate.evaluate("humaneval", run, Path({str(data)!r}), {SETTINGS!r}, run / "humaneval.json")
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert json.loads((run / "humaneval.json").read_text())["status"] == "measured"


def refused(*_: Any, **__: Any) -> None:
    raise SandboxUnavailable("no bubblewrap")


def test_drawing_needs_no_sandbox(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "Pool", refused)
    file = draw(folders, "humaneval", SETTINGS)
    result = command(folders, "humaneval", SETTINGS)
    assert result["status"] == "unavailable" and result["reason"] == "no bubblewrap" and "drawn" not in result
    assert file.exists()


def counted(drawn_here: list[Sample], stop: int = 10**9) -> Callable[..., Iterator[Sample]]:
    """`generate` that is killed before sample number `stop`."""

    def found(*args: Any) -> Iterator[Sample]:
        for sample in generate(*args):
            if len(drawn_here) == stop:
                raise KeyboardInterrupt
            drawn_here.append(sample)
            yield sample

    return found


def test_killed_while_drawing(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with the samples that are missing, and what comes out is the same."""
    values, run = SETTINGS | {"batch_size": 1}, folders[0]
    whole = content(draw(folders, "humaneval", values, tmp_path / "whole" / "humaneval.json"))
    ours: list[Sample] = []
    monkeypatch.setattr(_samples, "generate", counted(ours, stop=7))
    with pytest.raises(KeyboardInterrupt):
        draw(folders, "humaneval", values)
    assert left(run) == {"humaneval.partial.jsonl"}
    ours.clear()
    monkeypatch.setattr(_samples, "generate", counted(ours))
    file = draw(folders, "humaneval", values)
    assert len(ours) == 12 - 7 and left(run) == {file.name}
    assert content(file).found == whole.found and content(file).identity == whole.identity
    ours.clear()
    draw(folders, "humaneval", values)
    assert not ours, "drawn already"


@isolated
@pytest.mark.parametrize("change", ["settings", "weights", "data", "damaged"])
def test_another_file_is_drawn_anew_where_the_weights_are(
    folders: Folders, change: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line tells what differs; without weights that is an error, and nothing is touched."""
    run, data = folders
    values = SETTINGS | {"temperatures": [0.2]}
    file = draw(folders, "humaneval", values)
    if change == "settings":
        values, words = values | {"max_tokens": 5}, "was drawn with another settings.max_tokens: 6, not 5"
    elif change == "weights":
        save_file({name: weight + 0.1 for name, weight in load_file(run / WEIGHTS).items()}, run / WEIGHTS)
        words = "was drawn with another weights: "
    elif change == "data":
        (data / "manifest.json").write_text(json.dumps({"vocabulary": {"name": "bytes"}, "files": {}}))
        words = "was drawn with another data: "
    else:
        file.write_bytes(file.read_bytes()[:100])
        words = "cannot be read"
    kept = file.read_bytes()
    if change != "weights":
        (run / WEIGHTS).rename(run / "away")
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            command(folders, "humaneval", values)
        said = one_line(capsys)
        assert words in said and "is not here" in said and file.read_bytes() == kept
        (run / "away").rename(run / WEIGHTS)
    caplog.set_level(logging.INFO, "mtp.evaluate")
    caplog.clear()
    result = command(folders, "humaneval", values)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mtp.evaluate"]
    assert words in line and line.endswith("drawing anew")
    assert result["settings"]["max_tokens"] == values["max_tokens"] and not file.exists()


def test_nothing_drawn_and_no_weights(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without tensors that stands for weights elsewhere counts as none."""
    (folders[0] / WEIGHTS).unlink()
    for _ in range(2):
        with pytest.raises(SystemExit, match="2"):
            draw(folders, "humaneval", SETTINGS)
        assert "train the run first" in one_line(capsys)
        elsewhere.stand_in(folders[0] / WEIGHTS, "computed elsewhere")


def test_what_cannot_be_drawn(folders: Folders, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {key: value for key, value in MBPP.items() if key != "folder"}
    for name, values, words in (
        ("likelihood", {"limit_bytes": 5, "batch_size": 2}, "--draw: likelihood is not in two parts"),
        ("mbpp", wanted, "--draw: mbpp: mbpp.jsonl is not here"),
    ):
        with pytest.raises(SystemExit, match="2"):
            draw(folders, name, values)
        assert words in one_line(capsys)
    assert not left(folders[0])


@isolated
def test_what_came_home_is_judged_here(folders: Folders, tmp_path: Path) -> None:
    """A drawn file among the results of another machine, of this very job, whatever the code that judges it."""
    run = tmp_path / "runs" / "some"
    run.parent.mkdir()
    folders[0].rename(run)
    home = (run, folders[1])
    there = elsewhere.counterpart(run)
    file = draw(home, "humaneval", SETTINGS, there / "humaneval.json")
    (run / WEIGHTS).unlink()
    elsewhere.stand_in(run / WEIGHTS, "computed elsewhere")
    told = {"settings": json.dumps(SETTINGS), "code": content(file).identity["code"]}
    elsewhere.write(there, "humaneval", elsewhere.Done(told, [file.name], "a GPU", "2024-07-21"))
    assert command(home, "humaneval", SETTINGS, code="of the judging")["status"] == "measured"
    assert file.read_bytes() == (run / file.name).read_bytes()


def test_other_problems_are_not_judged(folders: Folders) -> None:
    """Such as those of a data set that has no known hash."""
    found = content(draw(folders, "humaneval", SETTINGS)).found
    with pytest.raises(UserError, match="HumanEval: its problems here are not those"):
        module_of("humaneval").judge(found | {"problems": ""}, folders[1], SETTINGS, folders[0], 1)


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    one = drawn.Drawn({"settings": {}, "eval": "x"}, {"b": [1, 0.1], "a": None}, 1.5, {})
    for name in ("one", "other"):
        drawn.write(tmp_path / name, one)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert drawn.read(tmp_path / "one", one.identity) == one
    with pytest.raises(drawn.Unfit, match='was drawn with another eval: "x", not "y"'):
        drawn.read(tmp_path / "one", one.identity | {"eval": "y"})
    torch.save({}, tmp_path / "one")
    with pytest.raises(drawn.Unfit, match="cannot be read"):
        drawn.read(tmp_path / "one", one.identity)

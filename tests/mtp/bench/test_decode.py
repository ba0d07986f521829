"""The decoding benchmark's structure: its jobs and rows, a tiny run with real processes. No speed is tested."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from mtp import floors
from mtp.bench import decode
from mtp.bench.loads import Load, prompts
from mtp.bench.race import Times
from mtp.bench.shapes import SHAPES, ours

TINY = Load("", 1, 4, 0.0, 1.0, rows=1)


def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Theirs take twice as long as ours, a round 1.5 times as long as a plain step."""
    seconds = {decode.OURS: 1.0, f"{decode.OURS}, compiled": 0.5, "plain step": 1.0, "round": 1.5}

    def race(field: dict[str, Any], rounds: int, *rest: Any, **more: Any) -> Times:
        return {label: [seconds.get(label, 2.0)] * rounds for label in field}

    monkeypatch.setattr(decode, "race", race)
    out = tmp_path / "decode.csv"
    decode.main(["--sizes", "10M", "--compiled", "--out", str(out)])
    rows = list(csv.DictReader(out.open()))
    assert [row["ratio_median"] for row in rows if row["case"] == "10M one row"] == ["2"] * 3
    fast = [row for row in rows if row["case"] == "10M one row, compiled"]
    assert [(row["baseline"], row["ratio_median"], row["goal"]) for row in fast] == [
        (decode.OURS, "2", ""),
        (decode.BASELINE, "4", ">= 4.5"),
        (f"{decode.STATIC}, compiled", "4", ""),
        (f"{decode.GPT_FAST}, compiled", "4", ">= 1.4"),
    ]
    floor = floors.round_ratio(ours(SHAPES["10M"], n_future=4), 4)
    of_round = [row for row in rows if row["case"].startswith("10M round of 4 heads, rows: 1")]
    assert [float(row["ratio_median"]) for row in of_round] == [
        pytest.approx(wanted, rel=1e-3) for wanted in (1.5, 1.5 / floor, floor / 1.5)
    ]
    goals = {row["goal"] for row in rows}
    assert goals == {"", ">= 1.8", ">= 1.2", "<= 1.1", ">= 0.85", ">= 1.4", ">= 4.5"}
    assert sum(bool(row["goal"]) for row in rows) == 6, "only what is said to be a goal"
    said = capsys.readouterr().out
    assert "reached" in said and "ms a step" in said


def test_a_tiny_run_with_real_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PASSES", {1: 2})
    out = tmp_path / "decode.csv"
    decode.main(["--cases", "round", "--sizes", "1M", "--rounds", "1", "--out", str(out)])
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 3 and all(float(row["ratio_median"]) > 0 for row in rows)


def test_gpt_fast_like_says_what_ours_says() -> None:
    from mtp.bench import _decoder

    told = {"size": "1M", "load": dataclasses.asdict(TINY)}
    model, load = _decoder.same_model(told)
    decoder = _decoder.StaticDecoder(model)
    tokens_1T = torch.from_numpy(prompts(load)[0])[None]
    with torch.inference_mode():
        first = decoder(tokens_1T[:, :-1], torch.arange(63))
        last = decoder(tokens_1T[:, -1:], torch.tensor([63]))
        torch.testing.assert_close(torch.cat([first, last], 1), model(tokens_1T), rtol=1e-4, atol=1e-4)
    _decoder.gpt_fast(told | {"compile": False})()


def test_hugging_face_with_a_static_cache() -> None:
    pytest.importorskip("transformers", reason="only in .venv/bench")
    from mtp.bench import _sampler

    _sampler.hugging_face(decode.sampler("1M", TINY, cache="static"))()  # asserts the number of tokens


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        decode.main(["--cases", "rounds"])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and "--cases: unknown 'rounds'; did you mean 'round'?" in said


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        decode.main(["--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in (*decode.CASES, "--compiled", "--quick", "docs/benchmarks.md"))

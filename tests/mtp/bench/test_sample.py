"""The sampling benchmark's structure: loads as described, ours serves them, the export is the same model."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mtp.bench import sample
from mtp.bench.loads import LOADS, PROMPT, Load, lengths, prompts
from mtp.bench.race import Times


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_loads(load: Any) -> None:
    found, wanted = prompts(load), lengths(load)
    assert len(found) == len(wanted) == load.requests and load.requests % load.rows == 0
    assert {len(prompt) for prompt in found} == {PROMPT}
    assert (len(set(wanted)) > 1) == load.ragged and 0 < min(wanted) <= max(wanted) <= load.tokens


@pytest.mark.parametrize("ragged", [False, True])
def test_ours_draws_what_is_asked(ragged: bool) -> None:
    from mtp.bench import _sampler

    load = Load("", 5, 6, 0.8, 0.95, ragged, 2)
    _sampler.own({"size": "1M", "load": dataclasses.asdict(load)})()  # asserts the number of tokens


def test_exported_llama_is_the_same_model() -> None:
    pytest.importorskip("transformers", reason="only in .venv/bench")
    from mtp.bench import _sampler

    _sampler.to_llama(_sampler.same_model(sample.sampler("ours", "1M", "greedy", "ours"))[0])  # asserts equal logits


def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def race(field: dict[str, Any], rounds: int, *rest: Any, needed: list[str]) -> Times:
        assert needed == list(field) == [sample.OURS, sample.BASELINE]
        return {sample.OURS: [1.0] * rounds, sample.BASELINE: [1.5] * rounds}

    monkeypatch.setattr(sample, "race", race)
    out = tmp_path / "sample.csv"
    sample.main(["--quick", "--out", str(out)])
    rows = list(csv.DictReader(out.open()))
    assert [(row["ratio_median"], row["goal"]) for row in rows] == [("1.5", ">= 1.0")] * 2 + [("1.5", ">= 2.0")]
    said = capsys.readouterr().out
    assert said.count("reached") == 2 and said.count("MISSED") == 1 and "tokens/s" in said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--loads", "raged"], "--loads: unknown 'raged'; did you mean 'ragged'?"),
        (["--sizes", "1b"], "--sizes: unknown '1b'"),
        (["--rounds", "0"], "--rounds: must be at least 1"),
    ],
)
def test_mistakes(options: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        sample.main(options)
    said = capsys.readouterr().err
    assert caught.value.code == 2 and expected in said and "Traceback" not in said

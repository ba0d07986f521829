"""Measures end to end on tiny steps: what they report, that ratios are ratios, and that mistakes are named."""

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from mtp import floors, measure
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.measures import _common, alone, names, step_time
from tests.conftest import tiny

SETTINGS: dict[str, dict[str, Any]] = {
    "step_time": {"rounds": 3, "warmup": 1, "step_tokens": 24},
    "step_memory": {"repeats": 1, "step_tokens": 24},
    "choice_points": {"paths": 20},
    "information": {"pairs": 5, "symbols": 4},
    "arithmetic": {},
    "order": {},
}


def by_name(record: dict[str, Any], config: RunConfig) -> dict[str, dict[str, Any]]:
    return {entry["metric"]: entry for entry in record["runs"][config.name()]["metrics"]}


def test_what_is_timed_runs_alone() -> None:
    assert [name for name in names() if alone(name)] == ["step_time"]


@pytest.mark.parametrize("name", names())
def test_contract(name: str, tmp_path: Path) -> None:
    """VERSION, run, every configuration reported, finite numbers, intervals around them, machine and settings."""
    configs = [tiny(), tiny(n_future=2), tiny(n_future=2, loss_scheme="naive")]
    assert name in SETTINGS, "settings for the tests"
    out = tmp_path / "measurements" / "some.json"
    measure.measure(name, "some", configs, SETTINGS[name], out)
    record = json.loads(out.read_text())
    assert record["version"] == importlib.import_module(f"mtp.measures.{name}").VERSION
    assert record["status"] == "measured" and record["experiment"] == "some"
    assert SETTINGS[name].items() <= record["settings"].items()
    assert record["provenance"]["machine"]["cpu"] and record["provenance"]["code"]
    assert record["runs"].keys() == {config.name() for config in configs}
    for run in record["runs"].values():
        assert len({entry["metric"] for entry in run["metrics"]}) == len(run["metrics"]) > 0
        for entry in run["metrics"]:
            assert math.isfinite(entry["value"]) and entry["value"] > 0
            assert entry.get("ci_low", 0) <= entry["value"] <= entry.get("ci_high", math.inf)


def test_step_time(tmp_path: Path) -> None:
    one, two = tiny(), tiny(n_future=2)
    record = measure.measure("step_time", "some", [one, two], SETTINGS["step_time"], tmp_path / "a.json")
    base, more = by_name(record, one), by_name(record, two)
    relative = base["relative_time"]
    assert relative["value"] == relative["ci_low"] == relative["ci_high"] == 1.0, "exact, so that claims can use it"
    assert more["flop_ratio"]["value"] == floors.flop_ratio(two)
    assert more["over_floor"]["value"] == pytest.approx(more["relative_time"]["value"] / floors.flop_ratio(two))
    assert set(base) == set(step_time.METRICS)


def test_without_the_baseline_nothing_is_relative(tmp_path: Path) -> None:
    two = tiny(n_future=2)
    record = measure.measure("step_time", "some", [two], SETTINGS["step_time"], tmp_path / "a.json")
    assert {"step_seconds", "flop_ratio"} <= by_name(record, two).keys()
    assert "relative_time" not in by_name(record, two)


def test_memory_knows_logits_from_none(tmp_path: Path) -> None:
    """64 rows of 4096 logits are 1 MB per head: naive keeps those of three heads more than it does of one."""
    shape = {"vocabulary": "bpe4096", "context": 64, "batch_size": 1, "layers": 5}
    many = {scheme: tiny(n_future=4, loss_scheme=scheme, **shape) for scheme in ("naive", "chunked")}
    settings = {"repeats": 1, "step_tokens": 64}
    record = measure.measure("step_memory", "some", list(many.values()), settings, tmp_path / "a.json")
    naive, chunked = (by_name(record, config) for config in many.values())
    assert naive["peak_mb"]["value"] > chunked["peak_mb"]["value"] + 2
    assert naive["relative_to_naive"]["value"] == 1.0 > chunked["relative_to_naive"]["value"]
    assert "relative_memory" not in naive, "n = 1 was not measured"


def test_median_and_its_interval() -> None:
    assert _common.median([3.0]) == (3.0, 3.0, 3.0)
    middle, low, high = _common.median([1.0, 2.0, 3.0, 4.0, 100.0])
    assert middle == 3.0 and 1.0 <= low < middle < high <= 100.0


def test_shaped() -> None:
    config = _common.shaped(tiny(batch_size=4, micro_batch=2), 60)
    assert (config.batch_size, config.micro_batch, config.context) == (5, 0, 12)
    assert _common.shaped(tiny(), 1).batch_size == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"--name": "step_tim"}, "unknown 'step_tim'; did you mean 'step_time'?"),
        ({"--configs": "{"}, "--configs: not JSON"),
        ({"--configs": "[]"}, "at least one configuration"),
        ({"--configs": '[{"dims": 3}]'}, "did you mean 'dim'?"),
        ({"--settings": '{"rounds": 3, "warmup": 1}'}, "step_tokens: missing"),
        ({"--settings": '{"rounds": 0, "warmup": 1, "step_tokens": 8}'}, "rounds: must be at least 1"),
    ],
)
def test_mistakes(changes: dict[str, str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {
        "--name": "step_time", "--experiment": "some", "--configs": f"[{tiny().to_json()}]",
        "--settings": json.dumps(SETTINGS["step_time"]), "--out": str(tmp_path / "a.json"),
    }  # fmt: skip
    with pytest.raises(SystemExit) as caught:
        measure.main([word for pair in (options | changes).items() for word in pair])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.count("\n") == 1 and expected in said
    assert not (tmp_path / "a.json").exists()


def test_what_cannot_be_measured_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtp.measures import _memory_child

    monkeypatch.setattr(_memory_child, "available", lambda: False)
    record = measure.measure("step_memory", "some", [tiny()], SETTINGS["step_memory"], tmp_path / "a.json")
    assert record["status"] == "unavailable" and "clear_refs" in record["reason"] and record["runs"] == {}


def test_unknown_measure() -> None:
    with pytest.raises(UserError, match="did you mean 'step_memory'"):
        measure.measure("step_memry", "some", [tiny()], {}, Path("nowhere.json"))

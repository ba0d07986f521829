"""The benchmark's structure: peers train, races pair rounds, the table survives interruptions. No speed is tested."""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from mtp.bench import cases, command, peers, race, train
from mtp.bench.race import Spread, Times
from mtp.bench.shapes import SHAPES, Shape, ours
from mtp.errors import UserError

SMALL = Shape("small", dim=16, heads=2, ffn=32, layers=2, windows=2, context=8)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_our_model_has_the_shape(shape: Shape) -> None:
    """The name says the block's weights, to 12 %; ours has the same feed-forward width."""
    config = ours(shape, n_future=4)
    assert (config.ffn_dim, config.batch_size, config.context) == (shape.ffn, shape.windows, 256)
    assert shape.block_parameters == pytest.approx(float(shape.name[:-1]) * 1e6, rel=0.12)
    norms = (2 * shape.layers + 1) * shape.dim
    assert config.non_embedding_parameters - norms == shape.block_parameters


@pytest.mark.parametrize(("peer", "n"), [("nanogpt", 1), ("lingua", 1), ("lingua", 4)])
def test_peers_written_here_learn(peer: str, n: int) -> None:
    """Summed loss starts near n log V and falls on one batch; the number of weights is about ours."""
    torch.manual_seed(0)
    model, loss, _ = peers.PEERS[peer](SMALL, n)
    window = torch.randint(256, (2, SMALL.context + n))
    inputs, targets = window[:, : SMALL.context], window.unfold(1, n, 1)[:, 1 : SMALL.context + 1]
    before = float(loss(inputs, targets).detach())
    assert before == pytest.approx(n * math.log(256), rel=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(5):
        loss(inputs, targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss(inputs, targets).detach()) < before


def test_a_peers_step_changes_its_weights() -> None:
    step = peers.trainer("nanogpt", SMALL)
    step()
    step()
    assert peers.trainer("lingua", SMALL, n=2)() is None


def test_race_with_real_processes(capfd: pytest.CaptureFixture[str]) -> None:
    """Two competitors in lock step, and one that cannot take part: it is named and left out."""
    told: list[str] = []
    field = {
        "small": {"work": "product", "precision": "float32", "process": "ours", "side": 8},
        "absent": {"work": "peer", "peer": "nobody", "size": "1M", "process": "shipped"},
    }
    times = race.race(field, 3, lambda: None, told.append, together=("small",))
    assert list(times) == ["small"] and len(times["small"]) == 3 and min(times["small"]) >= 0
    assert len(told) == 1 and "absent" in told[0] and "nobody" in told[0]


def test_ratio_is_taken_within_rounds() -> None:
    assert race.ratio([2.0, 9.0, 4.0], [1.0, 3.0, 1.0]) == Spread(3.0, 2.0, 4.0)
    assert race.ratio([2.0], [1.0], 4.0) == Spread(0.5, 0.5, 0.5)


def fake_race(seconds: Callable[[str], float], entered: list[Mapping[str, Any]]) -> Callable[..., Times]:
    def fake(field: Mapping[str, Any], rounds: int, progress: Any, told: Any, *more: Any, **options: Any) -> Times:
        entered.append(field)
        return {label: [seconds(label)] * rounds for label in field}

    return fake


@pytest.mark.parametrize("fast", ["float32", "bfloat16"])
def test_step_rows(monkeypatch: pytest.MonkeyPatch, fast: str) -> None:
    """Our fastest against their fastest carries the goal; every shipped trainer has a row; bfloat16 only if it pays."""
    entered: list[Mapping[str, Any]] = []
    mine = f"{fast} compiled"
    times = {mine: 1.0, "nanoGPT-like, eager": 2.5}
    monkeypatch.setattr(cases, "race", fake_race(lambda label: times.get(label, 4.0), entered))
    rows = cases.step(SHAPES["1M"], 3, fast).run(3, lambda: None, lambda line: None)
    assert rows[0].baseline == f"{cases.BEST}: nanoGPT-like, eager" and rows[0].case == f"1M step, {mine}"
    assert (rows[0].ratio.median, rows[0].goal, rows[0].reached) == (2.5, ">= 2.2", True)
    assert any("bfloat16" in label for label in entered[0]) == (fast == "bfloat16")
    assert [row.goal for row in rows].count(">= 1.4") == 1
    configs = [told["config"] for told in entered[0].values() if told["work"] == "ours"]
    assert {config.get("n_future", 1) for config in configs} == {1, 4}


def test_heads_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the time of n = 1 at n = 8, over the FLOP ratio; and against naive."""
    times = {"n = 1": 1.0, "n = 8": 2.0, "n = 8, naive": 4.0}
    monkeypatch.setattr(cases, "race", fake_race(lambda label: times.get(label, 1.5), []))
    rows = cases.heads(SHAPES["10M"], 32000, 3).run(3, lambda: None, lambda line: None)
    shape = dataclasses.replace(SHAPES["10M"], vocabulary=32000)
    floor = ours(shape, n_future=8).flops / ours(shape).flops
    by_case = {(row.case, row.baseline.split()[0]): row for row in rows}
    assert by_case["10M V=32000 time of n = 8", "FLOP"].ratio.median == pytest.approx(2 / floor)
    naive = by_case["10M V=32000 time of n = 8", "naive"]
    assert (naive.ratio.median, naive.goal, naive.reached) == (0.5, "<= 0.5", True)
    assert all(row.goal == "<= 1.05" for row in rows if row is not naive)


def test_memory_loss_and_share_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "race", fake_race(lambda label: 0.5 if label == "ours" else 1.0, []))
    from mtp.measures import step_memory

    peaks = {"n = 1": 4.0, "n = 8": 1.0, "n = 8, naive": 20.0}
    found = {label: (peaks.get(label, 3.0),) * 3 for label in ("n = 1", "n = 2", "n = 4", "n = 8", "n = 8, naive")}
    monkeypatch.setattr(step_memory, "all_peaks", lambda configs, repeats: found)
    rows = cases.memory(SHAPES["10M"], 32000, 2).run(2, lambda: None, lambda line: None)
    assert [(row.ratio.median, row.goal) for row in rows[-2:]] == [(0.25, "<= 1.0"), (0.05, "<= 0.1")]
    (loss,) = cases.loss("1M", 3).run(3, lambda: None, lambda line: None)
    assert (loss.ratio.median, loss.reached) == (0.5, True)
    (share,) = cases.share(SHAPES["1M"], 3, "float32").run(6, lambda: None, lambda line: None)
    config = ours(SHAPES["1M"], n_future=4)
    assert share.ratio.median == pytest.approx(100 * config.flops / config.steps / cases.PRODUCT_FLOPS)


def job(name: str, ran: list[str], fails: bool = False) -> cases.Job:
    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[cases.Row]:
        ran.append(name)
        if fails:
            raise UserError("killed")
        told(f"about {name}")
        return [cases.Row(name, "theirs", Spread(2.0, 1.5, 2.5), ">= 1.9"), cases.Row(name, "x", Spread(1, 1, 1))]

    return cases.Job("step", "1M", name, 2, run)


def test_a_cut_short_benchmark_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, ran = tmp_path / "bench" / "train.csv", list[str]()
    with pytest.raises(UserError):
        command.run([job("a", ran), job("b", ran, fails=True)], command.Table(path), False, "code", "train")
    command.run([job("a", ran), job("b", ran)], command.Table(path), False, "code", "train")
    assert ran == ["a", "b", "b"]
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["case", "baseline", "ratio_median", "ratio_min", "ratio_max", "goal"]
    assert rows[1] == ["a", "theirs", "2", "1.5", "2.5", ">= 1.9"] and [row[0] for row in rows[1:]] == [
        "a",
        "a",
        "b",
        "b",
    ]
    record = json.loads(path.with_suffix(".json").read_text())["jobs"]["a"]
    assert record["provenance"]["machine"]["cpu"]
    command.run([job("a", ran)], command.Table(path), False, "edited code", "train")
    command.run([job("a", ran)], command.Table(path), True, "edited code", "train")
    assert ran[3:] == ["a", "a"], "other code runs again, and so does --redo"
    with path.open(newline="") as file:
        assert len(list(csv.reader(file))) == 5, "a job's rows are replaced, not added"
    assert "about a" in capsys.readouterr().out


def test_shown() -> None:
    text = command.shown([["a", "theirs", "2", "1.5", "2.5", ">= 1.9"], ["b", "x", "1.2", "1", "2", "<= 1.0"]])
    assert "reached" in text.splitlines()[0] and "MISSED" in text.splitlines()[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sizes", "1m"], "--sizes: unknown '1m'; did you mean '1M'?"),
        (["--cases", "steps"], "--cases: unknown 'steps'; did you mean 'step'?"),
        (["--rounds", "0"], "--rounds: must be at least 1"),
    ],
)
def test_mistakes(options: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train.main(options)
    said = capsys.readouterr().err
    assert caught.value.code == 2 and expected in said and "Traceback" not in said


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in (*cases.CASES, "--quick", "--redo", "docs/benchmarks.md"))


def test_all_jobs_are_named_once() -> None:
    found = cases.jobs(list(cases.CASES), list(SHAPES), 9, False, "float32")
    assert len({job.name for job in found}) == len(found)
    assert {job.case for job in found} == set(cases.CASES)

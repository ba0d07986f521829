"""Every shipped YAML resolves at every scale; names are stable; mistakes are named by file and key."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.experiment import (
    Experiment,
    all_runs,
    computed,
    evals_of_runs,
    load_all,
    load_scale,
    read_yaml,
    resolve,
    summary,
)
from tests.conftest import ROOT, tiny

SCALES = [p.stem for p in sorted((ROOT / "experiments" / "scales").glob("*.yaml"))]


@pytest.mark.parametrize("name", SCALES)
def test_every_experiment_resolves(name: str) -> None:
    scale = load_scale(name, ROOT / "experiments")
    experiments = load_all(scale, ROOT / "experiments")
    assert {"table1", "tableS7", "fig3"} <= experiments.keys()
    for experiment in experiments.values():
        for point in experiment.points:
            assert bool(point.runs) != bool(point.skipped), "a point is run or says why not"


def test_paper_scale_trains_the_papers_grid() -> None:
    """Table 1: bytes n = 1, 8, 16, 32; 200B tokens n = 1, 2, 4, 6, 8; 1T tokens n = 1, 4."""
    experiment = load_all(load_scale("paper", ROOT / "experiments"), ROOT / "experiments")["table1"]
    grid = {(p.arm, p.axes["n_future"]) for p in experiment.points if p.runs}
    assert grid == {
        *(("bytes, 313B", n) for n in (1, 8, 16, 32)),
        *(("tokens, 200B", n) for n in (1, 2, 4, 6, 8)),
        *(("tokens, 1T", n) for n in (1, 4)),
    }
    budgets = {p.arm: p.runs[0].tokens / 1e9 for p in experiment.points}
    assert budgets == pytest.approx({"bytes, 313B": 314.6, "tokens, 200B": 209.7, "tokens, 1T": 1000.0}, abs=0.1)


def test_golden_names() -> None:
    """A changed name throws every stored result away: change these only on purpose."""
    assert tiny().name() == "tiny-bytes-d16x4-n1-s0-6ce33a20"
    assert tiny(n_future=3, heads="replicated", seed=7).name() == "tiny-bytes-d16x4-replicated-n3-s7-67973b11"


def test_an_option_at_its_default_does_not_change_the_name() -> None:
    assert tiny(clip=1.0, decay_ratio=0.03).name() == tiny().name()
    assert tiny(clip=0.1).name() != tiny().name()


@given(st.sampled_from([f.name for f in dataclasses.fields(RunConfig) if f.type is int]))
def test_json_round_trip(key: str) -> None:
    config = tiny()
    assert RunConfig.from_json(config.to_json()) == config
    with pytest.raises(UserError, match=key):
        RunConfig.from_dict(config.to_dict() | {key: "many"})


def test_experiments_share_runs() -> None:
    """The 6.7B rung of Table S7 and Figure 3 is the same models; Figure 3 adds none of its own."""
    experiments = load_all(load_scale("cpu", ROOT / "experiments"), ROOT / "experiments")
    assert experiments["fig3"].runs.keys() <= experiments["tableS7"].runs.keys()
    assert experiments["tableS7"].runs.keys() & experiments["table1"].runs.keys()


GOOD = {
    "label": "Ours", "title": "A test", "base": {"corpus": "code", "vocabulary": "tokens", "size": "6.7B",
    "recipe": "200B tokens"}, "grid": {"n_future": [1, 2]}, "evals": ["likelihood"],
    "metrics": {"held_out": {"title": "bits", "metric": "bits_per_byte"}},
}  # fmt: skip

FIGURE = {"name": "f", "kind": "bars", "metrics": ["held_out"]}
HELD_OUT = GOOD["metrics"]["held_out"]
PASSED = {"title": "passed", "metric": "pass@k"}
CLAIM = {"text": "x", "where": "y", "metric": "m", "these": {"n_future": 2}, "than": {"n_future": 1}}


def broken(tmp_path: Path, text: str) -> str:
    """The message for an experiment file with this text."""
    shutil.copytree(ROOT / "experiments" / "scales", tmp_path / "scales", dirs_exist_ok=True)
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        resolve(path, load_scale("cpu", tmp_path), tmp_path)
    message = str(caught.value)
    assert "broken.yaml" in message and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tilte": "x"}, "tilte: unknown key; did you mean 'title'?"),
        (
            {"grid": {"n_futur": [1]}, "at": {"cpu": {"grid": {"n_future": [1]}}}},
            "grid.n_futur: unknown key; did you mean",
        ),
        ({"grid": {"n_future": [1, 9]}}, "leave no trunk of layers: 6"),
        ({"base": GOOD["base"] | {"seed": 3}}, "base.seed: seeds come from the scale"),
        ({"grid": {"n_future": []}}, "grid.n_future: needs a list with at least one value"),
        ({"grid": {"dim": [32]}}, "dim: 32 split over attention_heads: 3"),
        ({"grid": {"heads": ["paralel"], "n_future": [2]}}, "heads: unknown 'paralel'; did you mean 'parallel'?"),
        ({"grid": {"vocabulary": ["token"]}}, "no scale knows 'token'; did you mean 'tokens'?"),
        ({"grid": {"size": ["6.7"]}}, "no scale knows '6.7'; did you mean '6.7B'?"),
        ({"grid": {"peak_lr": ["fast"]}}, "peak_lr: expected float, got 'fast'"),
        ({"grid": {"n_future": [65]}}, "n_future: 65 is more than"),
        ({"evals": ["humanevl"]}, "evals: unknown 'humanevl'; did you mean 'humaneval'?"),
        ({"at": {"cpu": {"grid": {"n_future": [3]}}}}, "3 is not in the grid"),
        ({"claims": [{"text": "x", "where": "y", "metric": "held", "these": {}, "than": {}}]}, "claims.0.metric"),
        ({"published": {"file": "none.csv"}}, "none.csv is not beside the YAML"),
        ({"metrics": {"m": {"title": "t", "metric": "x", "beter": "lower"}}}, "metrics.m.beter: unknown key"),
        ({"figures": [FIGURE | {"kind": "bar"}]}, "figures.0.kind: unknown 'bar'; did you mean 'bars'?"),
        ({"figures": [FIGURE | {"name": "a/b"}]}, "figures.0.name: 'a/b': letters, digits, - and _ only"),
        ({"figures": [FIGURE, FIGURE]}, "figures.1.name: f stands twice"),
        (
            {"metrics": {"m": HELD_OUT | {"metric": "bits_per_bite"}}},
            "metrics.m.metric: no evaluation asked for reports 'bits_per_bite'; did you mean 'bits_per_byte'?"
            " (likelihood: bits_per_byte, accuracy",
        ),
        ({"metrics": {"m": HELD_OUT}, "evals": ["mbpp"]}, "no evaluation asked for reports 'bits_per_byte'"),
        (
            {"metrics": {"m": HELD_OUT | {"where": {"texts": "held-out code"}}}},
            "metrics.m.where: bits_per_byte has no label 'texts'; did you mean 'text'? (labels: text, head)",
        ),
        ({"figures": [FIGURE | {"x": "n_futur"}]}, "figures.0.x: no axis 'n_futur'; did you mean 'n_future'?"),
        ({"figures": [FIGURE | {"baseline": {"n_future": 3}}]}, "figures.0.baseline.n_future: no point has 3"),
        (
            {"metrics": {"m": HELD_OUT}, "claims": [CLAIM | {"these": {"n_future": 3}}]},
            "claims.0.these.n_future: no point has 3 (values: 1, 2)",
        ),
        (
            {"metrics": {"m": HELD_OUT}, "claims": [CLAIM | {"less": {"these": {"n": 1}, "than": {"n_future": 1}}}]},
            "claims.0.less.these: no axis 'n'",
        ),
        (
            {"evals": ["mbpp"], "metrics": {"m": PASSED}, "comparisons": [{"metric": "m", "axis": "n", "baseline": 1}]},
            "comparisons.0.baseline: no axis 'n'",
        ),
        ({"rows": ["n_futur"]}, "rows: no axis 'n_futur'; did you mean 'n_future'?"),
        ({"at": {"cpuu": {"skip": "so"}}}, "at.cpuu: no such scale; did you mean 'cpu'?"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, change: dict, expected: str) -> None:
    assert expected in broken(tmp_path, yaml.safe_dump(GOOD | change))


STARTED = GOOD | {
    "start": {"corpus": "code", "vocabulary": "tokens", "size": "6.7B", "recipe": "200B tokens"},
    "base": {"recipe": "continued"},
    "grid": {"start.n_future": [1, 4], "n_future": [1, 4]},
}  # fmt: skip


def resolved(tmp_path: Path, values: dict) -> Experiment:
    shutil.copytree(ROOT / "experiments" / "scales", tmp_path / "scales", dirs_exist_ok=True)
    path = tmp_path / "ours.yaml"
    path.write_text(yaml.safe_dump(values))
    return resolve(path, load_scale("cpu", tmp_path), tmp_path)


def test_runs_that_start_from_others(tmp_path: Path) -> None:
    """Each starts from the run of its seed and takes over its model; heads that go take their layers with them."""
    experiment = resolved(tmp_path, STARTED)
    for point in experiment.points:
        before, after = point.axes["start.n_future"], point.axes["n_future"]
        assert len(point.runs) == len(point.starts) == 3
        for child, parent in zip(point.runs, point.starts, strict=True):
            assert (child.init_from, child.seed, child.dim) == (parent.name(), parent.seed, parent.dim)
            assert (parent.n_future, child.n_future) == (before, after)
            assert child.steps < parent.steps
            assert child.layers == parent.layers - max(0, before - after)
    names = {run.name() for point in experiment.points for run in point.runs}
    assert len(names) == 12, "another start is another run"
    table1 = load_all(load_scale("cpu", ROOT / "experiments"), ROOT / "experiments")["table1"]
    assert experiment.starts.keys() <= table1.runs.keys()
    assert all_runs({"ours": experiment}).keys() == names | experiment.starts.keys()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"start": STARTED["start"] | {"seed": 0}}, "start.seed: seeds come from the scale"),
        ({"start": STARTED["start"] | {"size": "6.7"}}, "grid.start: size: no scale knows '6.7'"),
        ({"start": STARTED["start"] | {"n_futur": 2}}, "grid.start: n_futur: unknown key; did you mean 'n_future'"),
        ({"grid": {"start.n_futur": [1]}}, "grid.start.n_futur: unknown key; did you mean"),
        ({"grid": {"start.n_future": [2], "heads": ["causal"]}}, "start: heads: causal heads here, but parallel in"),
    ],
)
def test_mistakes_of_starts(tmp_path: Path, change: dict, expected: str) -> None:
    assert expected in broken(tmp_path, yaml.safe_dump(STARTED | change))


def test_what_cannot_start_at_a_scale_says_so(tmp_path: Path) -> None:
    experiment = resolved(tmp_path, STARTED | {"start": STARTED["start"] | {"size": "13B"}})
    assert {point.skipped for point in experiment.points} == {"size 13B is not run at the cpu scale"}


MEASURED = {
    "label": "Ours", "title": "A test", "measure": "step_time", "base": {"size": "6.7B", "recipe": "200B tokens",
    "vocabulary": "bpe32000"}, "grid": {"n_future": [1, 2]},
    "metrics": {"t": {"title": "t", "metric": "relative_time"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"evals": ["likelihood"]}, "evals, measure: an experiment has either"),
        ({"measure": "step_tim"}, "measure: unknown 'step_tim'; did you mean 'step_time'?"),
        ({"base": {**MEASURED["base"], "vocabulary": "byte"}}, "'byte' is neither 'bytes' nor"),
        (
            {"metrics": {"t": {"title": "t", "metric": "flops_ratio", "computed_at": "paper"}}},
            "metrics.t.metric: no arithmetic is called 'flops_ratio'; did you mean 'flop_ratio'?",
        ),
    ],
)
def test_mistakes_of_measured_experiments(tmp_path: Path, change: dict, expected: str) -> None:
    assert expected in broken(tmp_path, yaml.safe_dump(MEASURED | change))


def test_neither_evals_nor_a_measure(tmp_path: Path) -> None:
    assert "either evals" in broken(tmp_path, yaml.safe_dump({k: v for k, v in GOOD.items() if k != "evals"}))


def test_measured_points_are_not_trained(tmp_path: Path) -> None:
    """One configuration per point whatever the seeds, no corpus, a vocabulary that nobody trains; no run of theirs."""
    shutil.copytree(ROOT / "experiments" / "scales", tmp_path / "scales")
    (tmp_path / "ablations").mkdir()
    path = tmp_path / "ablations" / "measured.yaml"
    path.write_text(yaml.safe_dump(MEASURED))
    scale = load_scale("cpu", tmp_path)
    experiments = load_all(scale, tmp_path)
    found = experiments["measured"].configurations
    assert [config.n_future for config in found.values()] == [1, 2]
    assert {(config.corpus, config.vocab_size) for config in found.values()} == {("random", 32000)}
    assert experiments["measured"].runs == all_runs(experiments) == evals_of_runs(experiments) == {}
    assert "2 steps measured" in summary(experiments, scale)
    settings = yaml.safe_load((tmp_path / "scales/cpu.yaml").read_text()) | {"measures": {}}
    with pytest.raises(UserError, match=r"scales/cpu\.yaml: measures: step_time is missing"):
        resolve(path, load_scale(settings, tmp_path), tmp_path)


def test_computed_points_do_not_depend_on_what_is_run() -> None:
    """Table S5 shows the floor of all the paper's sizes at every scale, whatever `at` leaves out."""
    for name in SCALES:
        experiment = load_all(load_scale(name, ROOT / "experiments"), ROOT / "experiments")["tableS5"]
        floor = [computed(experiment, point, "papers_floor") for point in experiment.points]
        assert len(floor) == 18 and all(isinstance(value, float) and 1 <= value < 1.3 for value in floor)


def test_a_computed_point_is_found_where_another_scale_has_other_axes(tmp_path: Path) -> None:
    """`at: base` gives a point another size here; at the other scale it is the YAML's own."""
    shutil.copytree(ROOT / "experiments" / "scales", tmp_path / "scales")
    (tmp_path / "ablations").mkdir()
    path = tmp_path / "ablations" / "measured.yaml"
    metrics = {"floor": {"title": "floor", "metric": "flop_ratio", "computed_at": "paper"}}
    path.write_text(yaml.safe_dump(MEASURED | {"at": {"cpu": {"base": {"size": "0.3B"}}}, "metrics": metrics}))
    here = resolve(path, load_scale("cpu", tmp_path), tmp_path)
    there = resolve(path, load_scale("paper", tmp_path), tmp_path)
    assert [point.axes["size"] for point in here.points] == ["0.3B", "0.3B"]
    assert [point.axes["size"] for point in there.points] == ["6.7B", "6.7B"]
    assert [computed(here, p, "floor") for p in here.points] == [computed(there, p, "floor") for p in there.points]


def test_text_that_is_not_yaml(tmp_path: Path) -> None:
    assert "line 2" in broken(tmp_path, "title: x\n  grid: [\n")
    assert "stands twice" in broken(tmp_path, "title: x\ntitle: y\n")
    assert "not valid YAML: unacceptable character #x0007" in broken(tmp_path, "title: \a\n")


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("title: café".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin\.yaml: not UTF-8 text: byte 10 is 0xe9$"):
        read_yaml(path)
    with pytest.raises(UserError, match=r"Is a directory$"):
        read_yaml(tmp_path)


def test_the_name_of_an_experiment_is_one_word(tmp_path: Path) -> None:
    path = tmp_path / "my own.yaml"
    path.write_text(yaml.safe_dump(GOOD))
    with pytest.raises(UserError, match=r"my own\.yaml: the name of an experiment: letters, digits, - and _ only"):
        resolve(path, load_scale("cpu", ROOT / "experiments"), ROOT / "experiments")


def test_a_misspelt_key_is_told_before_a_missing_one(tmp_path: Path) -> None:
    text = yaml.safe_dump({("tilte" if key == "title" else key): value for key, value in GOOD.items()})
    assert broken(tmp_path, text).endswith("tilte: unknown key; did you mean 'title'?")


def test_unknown_scale() -> None:
    with pytest.raises(UserError, match=r"scales/cpuu\.yaml: no such file; did you mean 'cpu'"):
        load_scale("cpuu", ROOT / "experiments")


def test_arithmetic_of_a_point_here_and_at_another_scale(root: Path) -> None:
    """Table S4: parameter-matched arms weigh the same, the others what docs/heads.md says they add."""
    table = load_all(load_scale("cpu", root / "experiments"), root / "experiments")["tableS4"]
    millions = {p.arm: computed(table, p, "parameters") for p in table.points}
    d, V = 32, 2048
    plain = millions["next token"]
    assert isinstance(plain, float)
    assert {plain} == {millions[arm] for arm in ("parallel", "causal", "anticausal", "parameter-free")}
    assert millions["linear"] == pytest.approx(plain + 4 * d * d / 1e6)
    assert millions["replicated unembeddings"] == pytest.approx(plain + 3 * V * d / 1e6)
    assert millions["DeepSeek-V3 chain"] == pytest.approx(plain + 3 * (2 * d * d + 2 * d) / 1e6)


def test_the_summary_tells_sizes_tokens_and_gpu_hours() -> None:
    scale = load_scale("paper", ROOT / "experiments")
    experiments = load_all(scale, ROOT / "experiments")
    told = summary(experiments, scale).splitlines()
    table1 = next(line for line in told if line.strip().startswith("table1"))
    runs = experiments["table1"].runs.values()
    hours = sum(run.flops for run in runs) / scale.flops_per_second / 3600
    assert f"{len(runs)} runs of 6.48B to 6.74B weights" in table1 and f"{hours:,.0f} GPU hours" in table1
    assert "GPU hours, less what is done already" in told[1]
    assert "GPU hours" not in summary(experiments, load_scale("cpu", ROOT / "experiments"))

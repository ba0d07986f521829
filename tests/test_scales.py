"""Scales: a cut of another scale, and how much of a GPU a run is given."""

from mtp.dag import Suite
from mtp.experiment import load_all, load_scale

CUT = load_scale("gpu-hour")


def test_the_cut_leaves_out_what_there_is() -> None:
    known = set(load_all(load_scale(CUT.like)))
    assert known >= {*CUT.leave_out, *CUT.kept}
    assert not set(CUT.leave_out) & set(CUT.kept)
    found = load_all(CUT)
    for name in CUT.leave_out:
        skipped = {point.skipped for point in found[name].points}
        assert all(skipped), f"{name}: {skipped}"


def test_the_cut_runs_the_most_telling_runs() -> None:
    found = load_all(CUT)
    told = {
        (point.axes["arm"], point.axes["n_future"])
        for point in found["table1"].points
        if point.runs
    }  # fmt: skip
    assert told == {("bytes, 313B", 1), ("bytes, 313B", 8), *(("tokens, 200B", n) for n in (1, 2, 4))}
    assert found["table1"].evals == ("likelihood", "humaneval", "mbpp")
    weights = [run.non_embedding_parameters for run in found["tableS7"].runs.values()]
    assert len(weights) == 9 and min(weights) < 40e6 and max(weights) > 290e6
    assert not any("hub" in run.corpus for e in found.values() for run in e.runs.values())


def test_small_runs_share_a_gpu() -> None:
    suite = Suite({"scale": "gpu"})
    assert {suite.gpu_share(name) for name in suite.runs} == {25, 50, 100}
    for name, run in suite.runs.items():
        expected = 25 if run.parameters <= 40e6 else 50 if run.parameters <= 120e6 else 100
        assert suite.gpu_share(name) == expected, name


def test_without_a_gpu_nothing_is_shared() -> None:
    suite = Suite({"scale": "smoke"})
    assert {suite.gpu_share(run) for run in suite.runs} == {100}

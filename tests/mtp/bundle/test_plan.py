"""Plans: what is to be done, in which order, and what a word selects."""

from pathlib import Path

import pytest

from mtp.bundle.plan import Job, Plan, chosen
from mtp.errors import UserError


def job(run: str, name: str = "train", *needs: str) -> Job:
    folder = f"results/cpu/runs/{run}"
    return Job(name, "mtp.train", ("--out", folder), folder, ("config.json",), {"code": "a"}, f"{run}.log", needs)


JOBS = (job("parent"), job("child", "train", "parent/train"), job("child", "likelihood", "child/train"), job("other"))


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan("cpu", "0123", JOBS, {"results/data/code/bpe300": "results/data/code/bytes"})
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan


def test_words_select_with_what_is_needed() -> None:
    assert chosen(JOBS, []) == list(JOBS)
    assert chosen(JOBS, ["likelihood"]) == list(JOBS[:3])
    assert chosen(JOBS, ["other", "parent"]) == [JOBS[0], JOBS[3]]
    with pytest.raises(UserError, match="no job's name contains 'x9'"):
        chosen(JOBS, ["x9"])


@pytest.mark.parametrize(
    ("text", "told"), [(None, "unpack the bundle"), ("{", "not the plan"), ('{"format": 0}', "format 0")]
)
def test_what_is_no_plan(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=told):
        Plan.read(path)

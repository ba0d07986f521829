"""The schema for editors is current, accepts every shipped experiment and refuses what the loader refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mtp import schema
from mtp.experiment import read_yaml
from tests.conftest import ROOT

SHIPPED = sorted(p for folder in ("paper", "ablations") for p in (ROOT / "experiments" / folder).glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    stored = json.loads((ROOT / schema.PATH).read_text())
    jsonschema.Draft202012Validator.check_schema(stored)
    return jsonschema.Draft202012Validator(stored)


def test_not_stale() -> None:
    assert (ROOT / schema.PATH).read_text() == schema.text(), "run `python -m mtp.schema` and commit the file"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_validate(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(read_yaml(path))]
    assert not errors


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"tilte": "x"}, "$"),
        ({"base": {"n_futur": 1}}, "$.base"),
        ({"base": {"seed": 1}}, "$.base"),
        ({"base": {"peak_lr": "fast"}}, "$.base.peak_lr"),
        ({"grid": {"n_future": []}}, "$.grid.n_future"),
        ({"grid": {"n_future": 4}}, "$.grid.n_future"),
        ({"arms": {"a": {"grid": {"dims": [16]}}}}, "$.arms.a.grid"),
        ({"metrics": {"m": {"title": "t", "metric": "x", "better": "more"}}}, "$.metrics.m.better"),
    ],
)
def test_mistakes_are_marked(validator: jsonschema.Draft202012Validator, change: dict[str, Any], at: str) -> None:
    good = {"label": "l", "title": "t", "grid": {"peak_lr": ["3e-4", 1], "seed": [0]}, "evals": [], "metrics": {}}
    assert validator.is_valid(good)
    assert [error.json_path for error in validator.iter_errors(good | change)] == [at]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        schema.main(["--check"])
    assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1
    schema.main([])
    schema.main(["--check"])
    schema.PATH.write_text(schema.PATH.read_text().replace("n_future", "n_past"))
    with pytest.raises(SystemExit):
        schema.main(["--check"])

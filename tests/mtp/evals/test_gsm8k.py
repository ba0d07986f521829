"""GSM8K: prompts with worked examples, answers read out of text; made-up problems in the format of the data."""

from fractions import Fraction
from pathlib import Path

import pytest

from mtp.completions import Sample
from mtp.errors import UserError
from mtp.evals import gsm8k
from mtp.problems import gsm8k as data_set
from mtp.problems._files import ENVIRONMENT
from tests.mtp.evals.conftest import Folders, command, one_line, select
from tests.mtp.problems.test_gsm8k import row, small_data

SETTINGS = {
    "shots": 2, "samples": 2, "temperatures": [0.2, 1.0], "top_p": 0.95, "ks": [1, 2], "max_tokens": 4, "batch_size": 8,
}  # fmt: skip


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of three problems in each split, offered by the environment."""
    folder = small_data(tmp_path / "benchmarks", monkeypatch)
    monkeypatch.setenv(ENVIRONMENT, str(folder))
    return folder


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" 3+4=7. The answer is 7.", 7),
        ("#### 1,234", 1234),
        ("The answer is $1,007.50", Fraction(2015, 2)),
        ("so the answer is -3", -3),
        ("The answer is 5. The answer is 6 of 9 pears", 9),
        ("The answer is\n8", None),
        ("7", None),
        ("The answer is seven", None),
        ("The answer is 5.00 dollars", 5),
    ],
)
def test_answers_are_read(text: str, wanted: Fraction | int | None) -> None:
    assert gsm8k.number(text) == wanted


def test_examples_are_read_like_answers() -> None:
    assert gsm8k.number(data_set.worked(row(3, 4))) == gsm8k.number(row(3, 4)["answer"]) == 7
    assert list(gsm8k.prompts(["a", "b"], "Q: Why?\nA:")) == ["abQ: Why?\nA:", "bQ: Why?\nA:", "Q: Why?\nA:"]


def test_a_model_is_asked_with_as_many_examples_as_fit(
    data: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three problems is answered rightly by every second sample."""
    prompts = []

    def answered(_model: object, _vocabulary: object, requests: list, *_: object) -> list[Sample]:
        prompts.extend(bytes(request.prompt.tolist()).decode() for request in requests)
        texts = {(0, 0): " The answer is 1,002.", (1, 1): " The answer is 1004."}
        return [Sample(r.problem, r.sample, texts.get((r.problem, r.sample), " 1003"), [1], "stop") for r in requests]

    monkeypatch.setattr("mtp.generate.generate", answered)
    monkeypatch.setattr("mtp.generate.prompt_room", lambda *_: 190)
    result = command(folders, "gsm8k", SETTINGS)
    assert select(result, metric="pass@k", k=1, temperature=0.2)["value"] == pytest.approx(100 / 6)
    assert select(result, metric="pass@k", k=2, temperature="oracle")["value"] == pytest.approx(100 / 3)
    assert result["settings"]["shots_shown"] == {"least": 1, "most": 1} and result["settings"]["problems"] == 3
    assert prompts[0].startswith("Q: Ida has 2 pears") and prompts[0].endswith("How many pears has she?\nA:")


def test_a_model_that_knows_nothing(data: Path, folders: Folders) -> None:
    result = command(folders, "gsm8k", {**SETTINGS, "folder": str(data), "problems": 2})
    assert select(result, metric="pass@k", k=2, temperature="oracle")["value"] == 0
    assert result["settings"]["shots_shown"] == {"least": 0, "most": 0}  # twelve bytes hold no example


def test_without_data_it_is_unavailable(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    monkeypatch.chdir(tmp_path)
    result = command(folders, "gsm8k", SETTINGS)
    assert result["status"] == "unavailable" and "put train.jsonl and test.jsonl" in result["reason"]
    (tmp_path / data_set.FILE).write_text('{"question": "?"}\n')
    with pytest.raises(SystemExit):
        command(folders, "gsm8k", {**SETTINGS, "folder": str(tmp_path)})
    assert "not the lines of GSM8K" in one_line(capsys)


def test_wrong_settings() -> None:
    for change, message in (
        ({"shots": -1}, "shots: must not be negative"),
        ({"problems": 1}, "problems: must be at least 2"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            gsm8k.check({**SETTINGS, **change})

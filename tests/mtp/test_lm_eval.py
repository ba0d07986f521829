"""The harness's model: likelihoods and completions of head 1; tasks of a local file really run through it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from mtp import lm_eval
from mtp.data.vocabulary import ByteVocabulary
from mtp.errors import UserError
from mtp.evals import _continuations, choices
from mtp.evals import lm_eval as evaluation
from mtp.lm_eval import Scorer
from mtp.model import Model
from mtp.problems import Unavailable
from tests.conftest import tiny
from tests.mtp.evals.test_choices import PROSE

CONTEXT = 96
try:
    lm_eval.require(hub=False)
    REASON = ""
except Unavailable as error:
    REASON = str(error)
harness = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def scorer() -> Scorer:
    return Scorer(Model(tiny(n_future=2, context=CONTEXT)).eval(), ByteVocabulary(), 4)


def plain(scorer: Scorer, before: list[int], text: bytes) -> tuple[float, bool]:
    """What `likelihoods` should give, by one pass over the whole text."""
    tokens = torch.tensor([[*before, *text]])
    with torch.no_grad():
        logits_TV = scorer.model(tokens[:, :-1])[0, len(before) - 1 :].double()
    targets_T = tokens[0, len(before) :]
    nats = logits_TV.log_softmax(-1).gather(-1, targets_T[:, None]).sum()
    return float(nats), bool((logits_TV.argmax(-1) == targets_T).all())


def test_likelihoods_are_those_of_a_pass_over_the_text(scorer: Scorer) -> None:
    """White space at the end of a context belongs to the continuation; nothing before it is a separator."""
    pairs = [("ab cd", " ef"), ("x ", "yz"), ("", "start"), ("  ", "a"), ("long " * 15, "tail")]
    wanted = [
        plain(scorer, list(b"ab cd"), b" ef"),
        plain(scorer, list(b"x"), b" yz"),
        plain(scorer, [255], b"start"),
        plain(scorer, [255], b"  a"),
        plain(scorer, list(b"long " * 15)[:-1], b" tail"),
    ]
    for (nats, greedy), (right, right_greedy) in zip(scorer.likelihoods(pairs), wanted, strict=True):
        assert nats == pytest.approx(right, abs=1e-4) and greedy == right_greedy


def test_a_long_context_loses_its_beginning(scorer: Scorer) -> None:
    (found,) = scorer.likelihoods([("y" * 300 + "ab", "cd")])
    assert found[0] == pytest.approx(plain(scorer, list(b"y" * (CONTEXT - 3) + b"ab"), b"cd")[0], abs=1e-4)


def test_all_of_a_long_text_is_scored_once(scorer: Scorer) -> None:
    text = "".join(chr(97 + i * i % 26) for i in range(3 * CONTEXT))
    (whole,) = scorer.rolling([text])
    (continuation,) = scorer.likelihoods([("", text)])
    assert whole == pytest.approx(continuation[0]) and 5 < -whole / len(text) < 7  # a random model: about ln 256
    assert scorer.rolling(["ab"])[0] == pytest.approx(plain(scorer, [255], b"ab")[0], abs=1e-4)


def test_completions_are_greedy_and_end_at_a_stop(scorer: Scorer) -> None:
    (whole,) = scorer.until([("hello", {"until": [], "max_gen_toks": 12, "temperature": 0.0})])
    assert len(whole) > 2
    (_, greedy) = scorer.likelihoods([("hello", whole)])[0]
    assert greedy or "\ufffd" in whole
    stop = whole[2]
    found = scorer.until([("hello", {"until": stop, "max_gen_toks": 12}), ("", {"until": [stop], "max_gen_toks": 3})])
    assert found[0] == whole[: whole.index(stop)]
    assert len(found[1].encode()) <= 9


def test_settings_of_the_harness() -> None:
    sampling = lm_eval._sampling({"until": ["\n", ""], "do_sample": True, "temperature": 0.7, "top_p": 0.9}, 3)
    assert (sampling.temperature, sampling.top_p, sampling.stops, sampling.seed) == (0.7, 0.9, ("\n",), 3)
    assert sampling.max_tokens == lm_eval.MAX_TOKENS
    assert lm_eval._sampling({"temperature": 0.7, "do_sample": False}, 0).temperature == 0


def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "lm_eval", None)
        with pytest.raises(SystemExit, match="2"):
            lm_eval.main(["--run", str(tmp_path), "--tasks", "piqa"])
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "requirements-lm-eval.txt" in told
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", __import__("types").ModuleType("lm_eval"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(Unavailable, match="data are on the hub, and there is no network"):
        evaluation.ready({"tasks": ["piqa"], "shots": 0, "batch_size": 1})


def test_rows_of_the_evaluation() -> None:
    rows = evaluation.rows({"a": {"acc": 0.5, "acc_norm": 0.25}, "b": {"exact_match": 0.75}}, "last")
    told = {(row["metric"], row.get("task")): row["value"] for row in rows}
    assert told["accuracy", "a"] == told["acc_norm", "a"] == 25 and told["acc", "a"] == 50
    assert told["accuracy", "b"] == 75 and told["average_accuracy", None] == 50
    with pytest.raises(UserError, match="c reports none of acc_norm, acc, exact_match but word_perplexity"):
        evaluation.rows({"c": {"word_perplexity": 3.0}}, 1)


def local_tasks(folder: Path, documents: list[dict[str, object]]) -> Path:
    """A folder with a task of choices and one of short answers, both from a file."""
    folder.mkdir()
    data = folder / "questions.json"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents))
    common = {
        "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}, "test_split": "test",
        "doc_to_text": "{{context}}",
    }  # fmt: skip
    mean = {"aggregation": "mean", "higher_is_better": True}
    choice = common | {
        "task": "local_choices", "output_type": "multiple_choice", "doc_to_target": "label",
        "doc_to_choice": "choices", "metric_list": [{"metric": "acc", **mean}, {"metric": "acc_norm", **mean}],
    }  # fmt: skip
    short = common | {
        "task": "local_answers", "output_type": "generate_until", "doc_to_target": "{{greedy}}",
        "target_delimiter": "", "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 4, "do_sample": False},
        "metric_list": [{"metric": "exact_match", **mean}],
    }  # fmt: skip
    for task in (choice, short):
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task))
    return folder


@harness
def test_a_local_task_gives_what_the_direct_evaluation_gives(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The questions of `choices` as a task of the harness; and greedy answers, half of them right."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    sets = _continuations.sets(PROSE, _continuations.REST, 6, 30, 0)
    greedy = scorer.until([(q.context, {"max_gen_toks": 4, "until": "\n\n"}) for one in sets for q in one])
    documents: list[dict[str, object]] = []
    for one in sets:
        for label, question in enumerate(one):
            right = greedy[len(documents)] if len(documents) % 2 else "never"
            texts = [choice.text.removeprefix(" ") for choice in one]
            documents.append({"context": question.context, "choices": texts, "label": label, "greedy": right})
    folder = local_tasks(tmp_path / "tasks", documents)
    found = lm_eval.evaluate(scorer, ["local_choices", "local_answers"], include=str(folder))
    nats = choices.answers(scorer.model, choices.encoded(sets, scorer.vocabulary, CONTEXT))
    wanted = float((nats.argmax(2) == np.arange(4)).mean())
    assert found["local_choices"]["acc"] == pytest.approx(wanted) and math.isfinite(found["local_choices"]["acc_norm"])
    assert found["local_answers"]["exact_match"] == pytest.approx(0.5)

    run = tmp_path / "run"
    run.mkdir()
    config = scorer.model.config
    # Generation has stored the scorer's weights in another order.
    weights = {name: weight.contiguous() for name, weight in scorer.model.state_dict().items()}
    save_file(weights, run / "model.safetensors")
    (run / "config.json").write_text(json.dumps({"run": config.name(), "config": config.to_dict()}))
    data = tmp_path / "bytes"
    data.mkdir()
    (data / "manifest.json").write_text(json.dumps({"vocabulary": {"name": "bytes"}}))
    arguments = ["--run", str(run), "--data", str(data), "--tasks", "local_choices", "--include", str(folder)]
    lm_eval.main([*arguments, "--out", str(tmp_path / "out.json")])
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["run"] == config.name() and told["results"]["local_choices"]["acc"] == pytest.approx(wanted)
    settings = {"tasks": ["local_choices"], "shots": 0, "batch_size": 4, "include": str(folder), "questions": 8}
    result = evaluation.run(run, data, evaluation.check(settings), tmp_path, 1)
    assert {row.get("training_step") for row in result["metrics"]} == {config.steps, "last"}
    assert evaluation.names(4, 8) == [4, "half"] and evaluation.names(5, 10 + 1) == [5]
    with pytest.raises(UserError, match="lm-eval knows no task local_choicez"):
        lm_eval.evaluate(scorer, ["local_choicez"], include=str(folder))

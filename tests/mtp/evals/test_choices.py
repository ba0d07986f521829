"""Choice tasks: whoever does not read the context is at chance exactly, whoever does can be right."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mtp import snapshots
from mtp.data.vocabulary import ByteVocabulary
from mtp.errors import UserError
from mtp.evals import _continuations, choices
from mtp.evals._continuations import CHOICES, LENGTHS, NEXT, REST, TASKS, sets
from mtp.model import Model
from tests.conftest import tiny
from tests.mtp.evals.conftest import Folders, command, select
from tests.mtp.test_generate import Begins

_WHO = ("The miller", "Old Mrs. Fox", "A grey goose", "My uncle", "Her sister", "The tailor", "A soldier", "The cook")
_DID = ("walked", "wandered", "hurried", "went back", "drove", "ran off", "rode", "crept")
_WHERE = ("to the river", "over the hill", "through the wood", "to the market", "past the church", "into the garden")
_WHY = ("to look for bread", "because it rained", "with a heavy heart", "and sang a song", "and said nothing at all")


def story(k: int) -> str:
    """Paragraphs of five sentences that differ from story to story."""
    draw = np.random.default_rng(k)
    lines = []
    for _ in range(4):
        parts = [[str(draw.choice(words)) for words in (_WHO, _DID, _WHERE, _WHY)] for _ in range(5)]
        lines.append(" ".join(f"{' '.join(part)} in the end." for part in parts))
    return "\n".join(lines) + "\n"


PROSE = [story(k) for k in range(8)]
SETTINGS = {"tasks": list(TASKS), "questions": 16, "context_characters": 40}


@pytest.fixture
def prose(tmp_path: Path) -> Folders:
    """A run with two snapshots, and data whose documents are stories."""
    run, data = tmp_path / "run", tmp_path / "bytes"
    (run / snapshots.FOLDER).mkdir(parents=True)
    data.mkdir()
    config = tiny(n_future=2, context=100, snapshots=2)
    for i, path in enumerate((run / "model.safetensors", *(snapshots.path(run, s) for s in snapshots.steps(config)))):
        torch.manual_seed(i)
        save_file(Model(tiny(n_future=2, context=100, seed=i)).state_dict(), path)
    (run / "config.json").write_text(json.dumps({"run": config.name(), "config": config.to_dict()}))
    (data / "manifest.json").write_text(json.dumps({"vocabulary": {"name": "bytes"}}))
    texts = [np.frombuffer(text.encode() + b"\xff", np.uint8) for text in PROSE]
    for split in ("train", "valid"):
        np.concatenate(texts).tofile(data / f"{split}.bin")
        np.save(data / f"{split}.offsets.npy", np.cumsum([0, *map(len, texts[:-1])]))
    return run, data


@pytest.mark.parametrize("task", TASKS)
def test_questions_are_parts_of_the_documents(task: str) -> None:
    found = sets(PROSE, task, 1000, 50, 0)
    assert len(found) > 8 and found == sets(PROSE, task, 1000, 50, 0)
    few = sets(PROSE, task, 5, 50, 0)
    assert len(few) == 5 and set(few) <= set(found)
    asked = [one for chosen in found for one in chosen]
    assert len({(one.document, one.context, one.text) for one in asked}) == len(asked) or task == REST
    for chosen in found:
        sizes = [len(one.text.encode()) for one in chosen]
        assert len({one.document for one in chosen}) == len(chosen) == CHOICES
        assert max(sizes) <= _continuations.ALIKE * min(sizes)
        for one in chosen:
            assert one.context + one.text in PROSE[one.document] and one.text.startswith(" ") and one.context
            assert 30 < len(one.context) <= 50 or PROSE[one.document].startswith(one.context)
            assert one.text.endswith("end.")
            assert one.context.endswith(".") == (task == NEXT)
            assert task == REST or len(one.text) - 1 in LENGTHS[NEXT]


def test_sentences_end_where_one_does() -> None:
    text = 'Mr. Hare came in. "Sit down!" said he. J. Fox did not? (He stood.) The end'
    parts = [text[start:end] for start, end in _continuations.sentences(text)]
    assert parts == ["Mr. Hare came in.", '"Sit down!" said he.', "J. Fox did not?", "(He stood.)", "The end"]


@pytest.mark.parametrize("by", ["longest", "shortest", "first", "random words"])
def test_without_the_context_chance_is_exact(by: str) -> None:
    """A preference for continuations that is the same in every context is right once per set."""
    found = sets(PROSE, REST, 1000, 50, 0)
    lengths = np.array([[len(one.text) for one in chosen] for chosen in found], float)
    taste = {"longest": lengths, "shortest": -lengths, "first": lengths * 0}.get(by)
    if taste is None:
        taste = np.random.default_rng(0).normal(size=lengths.shape)
    rights = choices.chosen(np.repeat(taste[:, None], CHOICES, axis=1), lengths)
    assert all((rights[score] == 1 / CHOICES).all() for score in choices.SCORES)


def test_who_reads_the_context_can_be_right() -> None:
    """Of a likelihood that the context raises a little, gain finds what a taste for words hides."""
    rng = np.random.default_rng(0)
    nats = np.repeat(rng.normal(size=(50, 1, CHOICES)) * 9, CHOICES, axis=1) + 0.5 * np.eye(CHOICES)
    rights = choices.chosen(nats, np.full((50, CHOICES), 30.0))
    assert (rights["gain"] == 1).all() and rights["likelihood"].mean() < 0.5


def test_likelihoods_are_of_the_continuation_alone() -> None:
    model = Model(tiny(context=60)).eval()
    (one, *_) = sets(PROSE, REST, 3, 20, 0)
    nats = choices.answers(model, choices.encoded([one], ByteVocabulary(), 60))
    for i in range(CHOICES):
        for j in range(CHOICES):
            before, text = one[i].context.encode(), one[j].text.encode()
            before = before[-(60 - len(text)) :]
            logits = model(torch.tensor([[*before, *text]]))[0, len(before) - 1 : -1].log_softmax(-1)
            assert nats[0, i, j] == pytest.approx(
                float(logits.gather(-1, torch.tensor([*text])[:, None]).sum().detach()), abs=1e-3
            )


def test_contexts_begin_a_text() -> None:
    """With the token that a vocabulary has for it, also where they are cut."""
    (one, *_) = sets(PROSE, REST, 3, 20, 0)
    for context in (60, 400):
        for (tokens_S, first), plain in zip(
            choices.encoded([one], Begins(), context), choices.encoded([one], ByteVocabulary(), context), strict=True
        ):
            assert tokens_S[0] == 1 and len(tokens_S) <= context
            assert tokens_S[first:].tolist() == plain[0][plain[1] :].tolist()
            assert bytes(plain[0][: plain[1]].tolist()).endswith(bytes(tokens_S[1:first].tolist()))


def test_accuracy_over_training_steps(prose: Folders) -> None:
    result = command(prose, "choices", SETTINGS)
    assert result["status"] == "measured" and result["settings"]["questions"] == {NEXT: 16, REST: 16}
    steps = {row["training_step"] for row in result["metrics"] if "training_step" in row}
    assert steps == {2, 5, 8, choices.LAST}
    for task in TASKS:
        assert select(result, metric="chance", task=task)["value"] == 25
        unigram = select(result, metric="unigram", task=task)
        assert unigram["value"] == unigram["ci_low"] == unigram["ci_high"] == 25
        for score in choices.SCORES:
            last = select(result, metric="accuracy", task=task, score=score, training_step="last")
            again = select(result, metric="accuracy", task=task, score=score, training_step=8)
            assert last["value"] == again["value"] <= 100 and last["problems"] == 16
            assert last["ci_low"] <= last["value"] <= last["ci_high"]


def test_without_snapshots_there_are_the_last_weights(prose: Folders) -> None:
    for path in (prose[0] / snapshots.FOLDER).iterdir():
        path.unlink()
    result = command(prose, "choices", {**SETTINGS, "tasks": [REST]})
    assert {row["training_step"] for row in result["metrics"] if "training_step" in row} == {8, choices.LAST}


def test_too_little_prose(folders: Folders) -> None:
    _, data = folders
    np.save(data / "valid.offsets.npy", [0])
    (data / "train.bin").write_bytes(b"ab")
    with pytest.raises(SystemExit):
        command(folders, "choices", SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": []}, "tasks: needs at least one of next sentence, rest of a sentence"),
        ({"tasks": ["next sentenc"]}, "tasks: unknown 'next sentenc'; did you mean 'next sentence'"),
        ({"questions": 10}, "questions: must be a multiple of 4 from 8 on, got 10"),
        ({"context_characters": 0}, "context_characters: must be at least 1"),
    ],
)
def test_wrong_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choices.check({**SETTINGS, **change})

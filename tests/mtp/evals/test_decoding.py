"""Self-speculative decoding as an evaluation: what is counted, what is refused, what stops it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtp.data.vocabulary import ByteVocabulary
from mtp.evals import decoding
from mtp.model import Model
from tests.conftest import tiny
from tests.mtp.evals.conftest import Folders, command, one_line, select
from tests.mtp.evals.test_exact_match import folders_of, progressions

SETTINGS: dict[str, Any] = {
    "prompts": 3, "prompt_tokens": 5, "new_tokens": 7, "batch_sizes": [2, 1], "temperatures": [0, 1.0], "rounds": 2,
    "guard": False,
}  # fmt: skip


def test_numbers_and_their_definitions(folders: Folders) -> None:
    result = command(folders, "decoding", SETTINGS)
    assert result["status"] == "measured" and result["differences"] == []
    for batch in (1, 2):
        plain = {"heads_used": 1, "batch": batch, "temperature": 0}
        assert select(result, metric="tokens_per_forward", **plain)["value"] == 1
        assert select(result, metric="relative_speed", **plain)["value"] == 1
        labels = {"heads_used": 2, "batch": batch, "temperature": 0}
        tokens = select(result, metric="tokens_per_forward", **labels)["value"]
        found = select(result, metric="acceptance", **labels, head=2)
        # A pass gives one token and what is accepted, less what stands behind the end.
        assert found["value"] == 100 * found["accepted"] / found["drafted"]
        assert 1 + found["value"] / 100 - 4 / found["forwards"] <= tokens <= 1 + found["value"] / 100
        speed, cost = (select(result, metric=name, **labels)["value"] for name in ("relative_speed", "round_cost"))
        assert speed * cost == pytest.approx(tokens)
        floor, bound = (select(result, metric=name, **labels)["value"] for name in ("round_floor", "bound"))
        assert bound * floor == pytest.approx(tokens) and floor > 1
        chosen = {"heads_used": "chosen", "batch": batch}
        assert select(result, metric="kept_heads", **chosen)["value"] in (1, 2)
        # The trial takes five stretches at the least, where all prompts are two or three.
        assert select(result, metric="calibration_share", **chosen)["value"] > 100
        assert select(result, metric="calibration_speed", **chosen)["value"] > 0
    for way in ("argmax", "typical"):
        found = select(result, metric=f"tokens_per_forward_{way}", heads_used=2, temperature=1.0)
        assert 1 <= found["value"] <= 2
    assert select(result, metric="tokens_per_forward", heads_used=2, temperature=1.0)["batch"] == 1
    assert not [row for row in result["metrics"] if row.get("temperature") == 1.0 and row["metric"] == "relative_speed"]


def test_one_round_has_no_interval(folders: Folders) -> None:
    labels = {"metric": "relative_speed", "heads_used": 2, "batch": 1, "temperature": 0}
    settings = {**SETTINGS, "batch_sizes": [1], "temperatures": [0]}
    assert "ci_low" in select(command(folders, "decoding", settings), **labels)
    assert "ci_low" not in select(command(folders, "decoding", {**settings, "rounds": 1}), **labels)


def test_heads_that_are_measured() -> None:
    assert [decoding.heads_used(n) for n in (1, 2, 3, 4)] == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
    assert decoding.heads_used(8) == [1, 2, 4, 8] and decoding.heads_used(6) == [1, 2, 4, 6]
    assert decoding.heads_used(32) == [1, 2, 4, 8, 12, 16, 20, 24, 28, 32]  # Table S3


def test_a_head_at_chance_stops_it(folders: Folders) -> None:
    """Random weights know less than the frequencies of bytes."""
    _, data = folders
    (data / "train.bin").write_bytes((data / "valid.bin").read_bytes())
    result = command(folders, "decoding", SETTINGS | {"guard": True})
    assert result["status"] == "unavailable" and result["metrics"] == []
    assert result["reason"].startswith("head 1 is at chance: ") and "frequencies of tokens" in result["reason"]


def test_flat_acceptance_stops_it(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose heads all say the same byte for ever."""
    monkeypatch.setattr("mtp.batch.accept_greedy", lambda logits_BTV, drafts_BJ: (drafts_BJ >= 0).sum(-1))
    result = command(folders, "decoding", SETTINGS | {"prompts": 12})
    assert result["status"] == "unavailable"
    assert "drafts of all heads were accepted" in result["reason"]


def test_text_that_is_not_that_of_plain_decoding_is_a_bug(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = iter(range(10**9))
    monkeypatch.setattr("mtp.batch.accept_greedy", lambda l, d: (d >= 0).sum(-1) * (next(accepted) % 2))
    with pytest.raises(FloatingPointError, match="not by a numerical tie"):
        command(folders, "decoding", SETTINGS)


def test_a_tie_is_told_from_a_bug() -> None:
    model = Model(tiny(n_future=2))
    prompt = np.arange(4)
    first = int(model(torch.from_numpy(prompt)[None])[0, -1].argmax())
    told = decoding.difference(model, prompt, [first, 3], [(first + 1) % 250, 3])
    assert (told["token"], told["plain"]) == (0, first) and told["ulps"] > decoding.TIE
    with_twin = Model(tiny(n_future=2))
    weight = with_twin.unembedding(0)
    weight.data[(first + 1) % 250] = weight.data[first]
    assert decoding.difference(with_twin, prompt, [first], [(first + 1) % 250])["ulps"] == 0


def test_prompts_from_all_over_the_text(tmp_path: Path) -> None:
    (tmp_path / "valid.bin").write_bytes(bytes(range(100)))
    found = decoding.prompts(tmp_path, ByteVocabulary(), 3, 10)
    assert [prompt.tolist() for prompt in found] == [list(range(s, s + 10)) for s in (0, 45, 90)]


def test_heads_that_cannot_draft(tmp_path: Path) -> None:
    folders = folders_of(tmp_path, Model(tiny(heads="deepseek", n_future=2, context=20)), progressions())
    result = command(folders, "decoding", SETTINGS)
    assert result["status"] == "unavailable" and "read the tokens ahead" in result["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"new_tokens": 8}, "new_tokens: 8 behind prompt_tokens: 5 do not fit the context of 12"),
        ({"batch_sizes": [0]}, "batch_sizes: needs numbers of at least 1, got [0]"),
        ({"temperatures": []}, "temperatures: needs numbers of at least 0, got []"),
        ({"rounds": 0}, "rounds: must be at least 1, got 0"),
        ({"prompt": 3}, "prompt: unknown key; did you mean 'prompts'?"),
        ({"guard": 1}, "guard: expected bool, got 1"),
    ],
)
def test_bad_settings(
    folders: Folders, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(SystemExit):
        command(folders, "decoding", SETTINGS | change)
    assert message in one_line(capsys)

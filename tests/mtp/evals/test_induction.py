"""Induction from a folder of stories to the result of a run: fresh names, snapshots, both mixes of training text."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mtp.data.build import build
from mtp.data.corpora import load_corpus
from mtp.data.mixture import Mixed, batches
from mtp.data.storage import read_manifest
from mtp.data.told import stories
from mtp.errors import UserError
from mtp.evals.induction import best_of
from mtp.evaluate import draw, evaluate
from mtp.train import train
from tests.conftest import tiny
from tests.mtp.evals.conftest import select

NAMES = ("Anna", "Bertram", "Clara", "Diederik", "Emmo", "Frieda", "Greta", "Hanno")
PLACES = ("pond", "mill", "barn", "well", "hill", "oven", "shed", "road", "pier", "wood", "loft", "lane")


def story(seed: int) -> str:
    """Sentences in which three names come again and again."""
    draw = random.Random(seed)
    names = draw.sample(NAMES, 3)
    parts = []
    for _ in range(14):
        one, other = draw.sample(names, 2)
        parts.append(
            f"In the {draw.choice(PLACES)} sat {one}, and {draw.choice(PLACES)} by {draw.choice(PLACES)} {other}."
        )
    return " ".join(parts)


def prepare(root: Path) -> Path:
    """Corpora `tales` (stories) and `both` (novels and stories, 3 to 1), prepared as bytes; returns their folder."""
    for i in range(30):
        for folder, text in (("tales", story(i)), ("novels", story(1000 + i).lower())):
            (root / folder).mkdir(exist_ok=True)
            (root / folder / f"{i:02d}.txt").write_text(text)
    (root / "tales.yaml").write_text("kind: folder\npath: tales\nform: stories\nholdout: 4\n")
    (root / "novels.yaml").write_text("kind: folder\npath: novels\nform: prose\n")
    (root / "both.yaml").write_text("kind: mixture\nparts: {novels: 3, tales: 1}\n")
    for name in ("tales", "both"):
        build(load_corpus(name, root), root / "data" / name / "bytes", root / "cache")
    return root / "data"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("induction"))


def test_training_and_held_out_stories_share_nothing(prepared: Path) -> None:
    held = {told.text for told in stories(prepared / "tales" / "bytes", "valid")}
    train_text = (prepared / "tales" / "bytes" / "train.bin").read_bytes().decode(errors="ignore")
    assert held and not any(text[:60] in train_text for text in held)
    both = (prepared / "both" / "bytes" / "train.bin").read_bytes().decode(errors="ignore")
    assert not any(text[:60] in both for text in held)
    assert held == {told.text for told in stories(prepared / "both" / "bytes", "valid")}, "the same in both mixes"
    assert all(set(told.names) <= set(NAMES) for told in stories(prepared / "tales" / "bytes", "train"))


def test_a_mixture_keeps_its_proportions(prepared: Path) -> None:
    folder = prepared / "both" / "bytes"
    parts = read_manifest(folder)["parts"]
    assert [(part["name"], part["weight"], part["stories"]) for part in parts] == [
        ("novels", 3, False), ("tales", 1, True),
    ]  # fmt: skip
    assert sum(part["documents"] for part in parts) == read_manifest(folder)["splits"]["train"]["documents"]
    found = batches(folder, "train", 32, 4, seed=0)
    assert isinstance(found, Mixed)
    capitals = [[any(65 <= b <= 90 for b in row) for row in found.batch(step, 1)] for step in range(40)]
    assert 30 <= sum(map(sum, capitals)) <= 40, "one window of four is a story; a few hold no name"
    again = batches(folder, "train", 32, 4, seed=0)
    assert np.array_equal(found.batch(17, 3), again.batch(17, 3))
    assert np.array_equal(found.batch(17, 3)[:, :33], found.batch(17, 1))


def test_fresh_names_change_from_epoch_to_epoch(prepared: Path) -> None:
    folder = prepared / "tales" / "bytes"
    plain, fresh = (batches(folder, "train", 32, 4, seed=0, fresh_names=switch) for switch in (False, True))
    assert not isinstance(plain, Mixed) and not isinstance(fresh, Mixed)
    texts = [fresh.text(epoch).astype(np.uint8).tobytes() for epoch in (0, 1)]
    assert texts[0] != texts[1] and plain.text(0) is plain.text(1)
    assert not any(name.encode() in text for name in NAMES for text in texts)
    assert np.array_equal(fresh.batch(40, 2), batches(folder, "train", 32, 4, seed=0, fresh_names=True).batch(40, 2))
    assert fresh.batch(40, 2).shape == (4, 34)


def test_a_run_and_its_result(prepared: Path, tmp_path: Path) -> None:
    data = prepared / "tales" / "bytes"
    config = tiny(corpus="tales", n_future=2, context=64, steps=9, snapshots=2, fresh_names=True)
    train(config, data, tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "snapshots").iterdir()) == [
        "step00000003.safetensors", "step00000006.safetensors",
    ]  # fmt: skip
    settings = {"renamings": 2, "characters": 400, "batch_size": 8}
    result = evaluate("induction", tmp_path / "run", data, settings, tmp_path / "run" / "induction.json")
    asked = {"metric": "induction", "text": "made-up names", "mention": "later"}
    last, oracle = (select(result, **asked, weights=weights) for weights in ("last", "oracle"))
    assert last["ci_low"] <= last["value"] <= last["ci_high"] and oracle["value"] >= last["value"]
    assert last["stories"] == len(stories(data, "valid")) and last["positions"] > 50
    assert 0 < select(result, metric="chance")["value"] <= 1 / 64  # of so many second halves at most
    assert 0 <= select(result, metric="preference", mention="later", text="made-up names")["value"] <= 1
    assert select(result, metric="induction", text="unchanged names")["positions"] > 20
    (tmp_path / "two").mkdir()
    file = draw("induction", tmp_path / "run", data, settings, tmp_path / "two" / "induction.json")
    away = (tmp_path / "run" / "model.safetensors").rename(tmp_path / "away")
    apart = evaluate("induction", tmp_path / "run", data, settings, tmp_path / "two" / "induction.json")
    assert file.exists() and (apart["metrics"], apart["settings"]) == (result["metrics"], result["settings"])
    away.rename(tmp_path / "run" / "model.safetensors")
    for path in (tmp_path / "run" / "snapshots").iterdir():
        path.unlink()
    again = evaluate("induction", tmp_path / "run", data, settings, tmp_path / "run" / "induction.json")
    assert select(again, **asked, weights="last") == last
    assert "kept no snapshots" in select(again, **asked, weights="oracle")["reason"]


def test_what_is_no_story(bytes_folder_without_names: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus code holds no stories \(its YAML needs `form: stories`\)"):
        stories(bytes_folder_without_names, "valid")
    with pytest.raises(UserError, match="holds no stories"):
        batches(bytes_folder_without_names, "train", 4, 1, seed=0, fresh_names=True)


@pytest.fixture
def bytes_folder_without_names(tmp_path: Path) -> Path:
    manifest = {"corpus": {"name": "code"}, "vocabulary": {"name": "bytes", "dtype": "uint8"}, "files": {}}
    manifest["splits"] = {"train": {}, "valid": {}}
    np.zeros(200, np.uint8).tofile(tmp_path / "train.bin")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_mistakes_in_the_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: folder\npath: a\nform: storys\n")
    with pytest.raises(UserError, match=r"a\.yaml: form: unknown 'storys'; did you mean 'stories'"):
        load_corpus("a", tmp_path)
    (tmp_path / "a.yaml").write_text("kind: folder\npath: a\nform: prose\ncode: true\n")
    with pytest.raises(UserError, match=r"a\.yaml: form: prose is not possible with code: true"):
        load_corpus("a", tmp_path)
    (tmp_path / "m.yaml").write_text("kind: mixture\nparts: {b: 9, a: 1}\n")
    with pytest.raises(UserError, match=r"m\.yaml: .*no corpus 'b'"):
        load_corpus("m", tmp_path)
    (tmp_path / "a.yaml").write_text("kind: folder\npath: a\n")
    (tmp_path / "b.yaml").write_text("kind: folder\npath: b\ncode: true\n")
    with pytest.raises(UserError, match=r"m\.yaml: parts\.b: only prose can be mixed"):
        load_corpus("m", tmp_path)
    (tmp_path / "m.yaml").write_text("kind: mixture\nparts: {a: 1}\n")
    with pytest.raises(UserError, match=r"m\.yaml: parts: needs at least two corpora"):
        load_corpus("m", tmp_path)


def test_the_interval_is_over_stories() -> None:
    """Twenty mentions of one story say no more than one: the interval is as wide as for three coins."""
    story_Q = np.repeat([0, 1, 2], 20)
    value, low, high = best_of((story_Q == 1)[None].astype(float), story_Q)
    assert (value, low, high) == (pytest.approx(1 / 3), 0, 1)
    assert best_of(np.ones((1, 4)), np.zeros(4, int))[0] == 1
    assert np.isnan(best_of(np.ones((1, 4)), np.zeros(4, int))[1:]).all()


def test_the_best_of_several_is_chosen_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    story_Q = np.repeat(np.arange(30), 4)
    score_PQ = (rng.random((5, 120)) < 0.3).astype(float)
    each = [best_of(score_PQ[[p]], story_Q) for p in range(5)]
    value, low, high = best_of(score_PQ, story_Q)
    assert value == max(v for v, _, _ in each)
    assert low >= max(one for _, one, _ in each) - 0.02 and high >= max(one for _, _, one in each) - 0.02

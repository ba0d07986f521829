"""Corpus files: strict keys, canonical JSON."""

import json
from pathlib import Path

import pytest

from mtp.data.corpora import Corpus, Folder, Hub, Wheels, corpus_names, load_corpus
from mtp.data.lock import read_lock
from mtp.errors import UserError

HASH = "0" * 64


@pytest.mark.parametrize("name", ["code_small", "code_large", "code_tiny"])
def test_shipped_corpora_load_and_travel_as_json(name: str, root: Path) -> None:
    corpus = load_corpus(name, root / "experiments" / "corpora")
    assert isinstance(corpus, Wheels)
    assert corpus.code
    assert len(corpus.lock_sha256) == 64
    text = corpus.to_json()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert Corpus.from_json(text) == corpus
    assert len(read_lock(Path(corpus.lock))) == {"code_small": 11, "code_large": 27, "code_tiny": 3}[name]


def test_every_shipped_corpus_is_valid(root: Path) -> None:
    folder = root / "experiments" / "corpora"
    for name in corpus_names(folder):
        load_corpus(name, folder)


def write(folder: Path, text: str) -> Path:
    (folder / "mine.yaml").write_text(text)
    return folder


def test_a_folder_corpus_in_three_lines(tmp_path: Path) -> None:
    corpus = load_corpus("mine", write(tmp_path, 'kind: folder\npath: texts\npattern: "*.md"\n'))
    assert corpus == Folder(name="mine", path=str(tmp_path / "texts"), pattern="*.md")
    home = load_corpus("mine", write(tmp_path, "kind: folder\npath: ~/texts\n"))
    assert isinstance(home, Folder)
    assert home.path == str(Path("~/texts").expanduser())


def test_hub_files_are_relative_only_when_local(tmp_path: Path) -> None:
    local = load_corpus("mine", write(tmp_path, "kind: hub\ndataset: json\ndata_files: rows.jsonl\n"))
    assert isinstance(local, Hub)
    assert local.data_files == (str(tmp_path / "rows.jsonl"),)
    remote = load_corpus("mine", write(tmp_path, "kind: hub\ndataset: a/b\nrevision: abc\ndata_files: [x/*.json]\n"))
    assert isinstance(remote, Hub)
    assert remote.data_files == ("x/*.json",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: folder\npath: x\npatern: y\n", r"mine\.yaml: patern: unknown key; did you mean 'pattern'\?"),
        ("kind: foldr\npath: x\n", r"mine\.yaml: kind: unknown 'foldr'; did you mean 'folder'\?"),
        ("path: x\n", r"mine\.yaml: kind: missing"),
        ("kind: folder\n", r"mine\.yaml: path: missing"),
        ("kind: folder\npath: 3\n", r"mine\.yaml: path: expected str, got 3"),
        ("kind: folder\npath: x\nholdout: 1\n", r"mine\.yaml: holdout: must be at least 2"),
        ("kind: folder\npath: x\nholdout: true\n", r"mine\.yaml: holdout: expected int, got True"),
        ("kind: folder\npath: x\nname: y\n", r"mine\.yaml: name: unknown key"),
        ("kind: folder\npath: x\npattern: /y\n", r"mine\.yaml: pattern: must be relative"),
        ("kind: wheels\nlock: no.txt\n", r"mine\.yaml: .*no\.txt: cannot read the lock file"),
        ("kind: wheels\n", r"mine\.yaml: lock: missing"),
        ("kind: wheels\nlock: lock.txt\ncode: false\n", r"mine\.yaml: code: unknown key"),
        ("kind: wheels\nlock: lock.txt\ncap_mb: {sompy: 1}\n", r"cap_mb\.sompy: not in .*did you mean 'sympy'"),
        ("kind: wheels\nlock: lock.txt\ncap_mb: {sympy: much}\n", r"cap_mb\.sympy: expected float, got 'much'"),
        ("kind: hub\ndataset: a/b\n", r"mine\.yaml: revision: missing"),
        ("kind: hub\ndataset: json\n", r"mine\.yaml: data_files: missing"),
        ("kind: hub\ndataset: a/b\nrevision: c\nmegabytes: 0\n", r"mine\.yaml: megabytes: must be positive"),
        ("kind: [\n", r"mine\.yaml: not valid YAML"),
        ("", r"mine\.yaml: expected keys"),
    ],
)
def test_bad_files_name_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "lock.txt").write_text(f"sympy==1.0 --hash=sha256:{HASH}\n")
    with pytest.raises(UserError, match=message) as caught:
        load_corpus("mine", write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_an_unknown_corpus_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no corpus 'mime'; did you mean 'mine'\? \(known: mine\)"):
        load_corpus("mime", write(tmp_path, "kind: folder\npath: x\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sympy==1.0\n", "sympy==1.0: expected `name==version --hash"),
        ("sympy --hash=sha256:00\n", "sympy: expected"),
        (f"a==1 --hash=sha256:{HASH}\na==2 --hash=sha256:{HASH}\n", "a: named twice"),
        ("# nothing\n", "names no package"),
    ],
)
def test_bad_lock_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "lock.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_lock(tmp_path / "lock.txt")


def test_json_is_as_strict_as_yaml() -> None:
    with pytest.raises(UserError, match="corpus: pth: unknown key; did you mean 'path'"):
        Corpus.from_json('{"kind": "folder", "name": "x", "pth": "y"}')
    with pytest.raises(UserError, match="corpus: not valid JSON"):
        Corpus.from_json("{")

"""Wheels: pip against a local folder of tiny wheels, then the cache alone; one clear line for each failure."""

import hashlib
import socket
import zipfile
from pathlib import Path

import pytest

from mtp.data import fetch
from mtp.data.build import build
from mtp.data.corpora import load_corpus
from mtp.data.fetch import PIP_LOG, wheels
from mtp.errors import UserError
from tests.mtp.data.conftest import story


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a universal wheel, version 1.0, and return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(f"{name}/{inner}", text)
        info = f"{name}-1.0.dist-info"
        # A Python that nobody has: wheels are read, never installed, so this must not matter.
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: >=4\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def lock(tmp_path: Path, index: Path) -> Path:
    """Two packages of ten modules each, and a corpus file beside their lock."""
    lines = []
    for number, name in enumerate(("alpha", "beta")):
        files = {f"m{i}.py": story(100 * number + i) for i in range(10)}
        lines.append(f"{name}==1.0 --hash=sha256:{make_wheel(index, name, files | {'tests/t.py': story(5)})}\n")
    path = tmp_path / "mine.txt"
    path.write_text("".join(lines))
    (tmp_path / "mine.yaml").write_text("kind: wheels\nlock: mine.txt\nholdout: 5\ncap_mb: {beta: 0.02}\n")
    return path


def test_download_then_work_from_the_cache(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    first = wheels(lock, cache)
    assert [pin.name for pin in first] == ["alpha", "beta"]
    assert sorted(p.name for p in cache.iterdir()) == ["alpha-1.0-py3-none-any.whl", "beta-1.0-py3-none-any.whl"]
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: pytest.fail("a full cache needs no pip"))
    assert wheels(lock, cache) == first


def test_a_damaged_wheel_in_the_cache_is_fetched_again(lock: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = next(iter(wheels(lock, cache).values()))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert next(iter(wheels(lock, cache).values())).read_bytes() == whole


def test_corpus_of_wheels(lock: Path, tmp_path: Path) -> None:
    corpus = load_corpus("mine", tmp_path)
    manifest = build(corpus, tmp_path / "bytes", tmp_path / "cache")
    assert manifest["source"]["wheels"] == ["alpha==1.0", "beta==1.0"]
    assert manifest["counts"]["test"]["documents"] == 2
    assert manifest["packages"]["alpha"]["kept"]["documents"] == 10
    assert 0 < manifest["packages"]["beta"]["kept"]["bytes"] <= 20_000
    assert manifest["packages"]["beta"]["over the cap"]["documents"] > 0
    lock.write_text(lock.read_text() + "# changed\n")
    with pytest.raises(UserError, match=r"mine\.txt: changed since this job was planned"):
        build(corpus, tmp_path / "bytes", tmp_path / "cache")


def test_wrong_hash(lock: Path, index: Path, tmp_path: Path) -> None:
    make_wheel(index, "beta", {"other.py": "x = 1\n"})
    with pytest.raises(UserError, match=r"mine\.txt: beta==1\.0: wrong hash") as caught:
        wheels(lock, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert "beta" in (tmp_path / "cache" / PIP_LOG).read_text()
    assert not list((tmp_path / "cache").glob("*.whl"))


def test_withdrawn_release(lock: Path, index: Path, tmp_path: Path) -> None:
    (index / "beta-1.0-py3-none-any.whl").unlink()
    with pytest.raises(UserError, match=r"mine\.txt: beta==1\.0: this release is not on the package index"):
        wheels(lock, tmp_path / "cache")


def test_no_network(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/simple")
        with pytest.raises(UserError, match=r"mine\.txt: alpha==1\.0: no network"):
            wheels(lock, tmp_path / "cache")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "no space left"),
        ("/usr/bin/python: No module named pip", "has no pip"),
        ("ERROR: something new", "pip download failed: ERROR: something new"),
    ],
)
def test_other_causes(lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str) -> None:
    done = fetch.subprocess.CompletedProcess([], 1, stdout="Collecting alpha==1.0 (from ...)\n", stderr=said)
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match=message):
        wheels(lock, tmp_path / "cache")


def test_the_tiny_corpus_from_the_registry(root: Path, tmp_path: Path) -> None:
    """The real thing: 0.6 MB from the package index."""
    try:
        manifest = build(
            load_corpus("code_tiny", root / "experiments" / "corpora"), tmp_path / "out", tmp_path / "cache"
        )
    except UserError as error:
        if "no network" in str(error):
            pytest.skip(f"the package index cannot be reached: {error}")
        raise
    assert {"algorithms", "more-itertools", "boltons"} == set(manifest["packages"])
    # The lock pins the bytes and the filters are pure, so the counts are exact.
    assert manifest["counts"]["kept"] == {"documents": 428, "bytes": 1558231}

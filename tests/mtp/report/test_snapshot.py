"""The committed snapshot: what it leaves behind, mistakes in one line. That of all pages is in test_gallery.py."""

from pathlib import Path

import pytest

from mtp.report import snapshot
from tests.mtp.report.test_gallery import Page


def options(folder: Path) -> list[str]:
    told = [str(folder / name) for name in ("results", "figures", "docs/gallery")]
    return ["--results", told[0], "--figures", told[1], "--out", told[2]]


def test_no_page_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        snapshot.main(options(tmp_path))
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "index.html: no such file" in message and message.count("\n") == 1


def small(folder: Path) -> Path:
    """An index with one picture, one page below it, and a log that stays behind."""
    index = folder / "figures/cpu/index.html"
    (index.parent / "runs").mkdir(parents=True)
    index.write_text('<header></header><a href="runs/a.html#x">a</a><img src="a%20b.svg" alt="">')
    log = folder / "results/cpu/logs/a.log"
    log.parent.mkdir(parents=True)
    log.write_text("")
    (index.parent / "runs/a.html").write_text(
        '<p id="x">end · <a href="../../../results/cpu/logs/a.log">all of it</a></p><a href="../index.html">up</a>'
    )
    (index.parent / "a b.svg").write_text('<svg>\n <!-- a\nb --><path d="M 1.23456\n-0.123456 2.0001"/>\n</svg>')
    return index


def test_a_missing_file_keeps_the_old_snapshot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = small(tmp_path)
    snapshot.main(options(tmp_path))
    new = tmp_path / "docs/gallery/cpu"
    assert sorted(path.name for path in new.iterdir()) == ["a b.svg", "index.html", "runs"]
    (index.parent / "a b.svg").unlink()
    with pytest.raises(SystemExit):
        snapshot.main(options(tmp_path))
    assert "a b.svg, which does not exist" in capsys.readouterr().err
    assert (new / "a b.svg").exists()


def test_what_is_left_behind_and_what_is_slimmed(tmp_path: Path) -> None:
    small(tmp_path)
    snapshot.main(options(tmp_path))
    new = tmp_path / "docs/gallery/cpu"
    assert (new / "runs/a.html").read_text() == '<p id="x">end</p><a href="../index.html">up</a>'
    assert 'href="runs/a.html#x"' in Page(new / "index.html").text
    assert (new / "a b.svg").read_text() == '<svg><path d="M1.23 -0.1235 2"/></svg>'


def test_a_picture_cannot_be_left_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = small(tmp_path)
    index.write_text('<img src="../../results/cpu/logs/a.log" alt="">')
    with pytest.raises(SystemExit):
        snapshot.main(options(tmp_path))
    assert "which a snapshot does not hold" in capsys.readouterr().err

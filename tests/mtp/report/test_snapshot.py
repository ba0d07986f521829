"""The committed snapshot: complete without results/ and figures/, nothing stale left, mistakes in one line."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from mtp.report import snapshot
from tests.mtp.report.conftest import EXPERIMENTS
from tests.mtp.report.test_gallery import Links, build


def options(folder: Path) -> list[str]:
    told = [str(folder / name) for name in ("results", "figures", "docs/gallery")]
    return ["--results", told[0], "--figures", told[1], "--out", told[2]]


def test_works_alone(cpu: Path) -> None:
    page = build(cpu)
    shown = Links()
    shown.feed(page.read_text())
    stale = cpu / "docs/gallery/cpu/gone.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    snapshot.main(options(cpu))
    assert not stale.exists()
    assert [path.name for path in (cpu / "docs/gallery").iterdir()] == ["cpu"]

    claims, table = (page.parents[2] / "results/cpu" / name for name in ("claims.csv", "table1.csv"))
    new = cpu / "docs/gallery/cpu"
    assert (new / "claims.csv").read_bytes() == claims.read_bytes()
    assert (new / "table1.csv").read_bytes() == table.read_bytes()
    shutil.rmtree(cpu / "results")
    shutil.rmtree(cpu / "figures")
    links = Links()
    links.feed((new / "index.html").read_text())
    assert links.ids == shown.ids
    kept = set()
    for link in links.links:
        parts = urlsplit(link)
        if not parts.scheme and parts.path:
            path = (new / unquote(parts.path)).resolve()
            assert path.exists(), link
            kept.add(path.relative_to(new) if path.is_relative_to(new) else path)
    drawn = {Path(link.rsplit("/", 1)[-1]) for link in shown.links if link.endswith(".svg")}
    assert drawn and drawn <= kept
    assert EXPERIMENTS / "paper" / "table1.yaml" in kept
    records = [path for path in kept if path.name == "config.json"]
    runs = {link for link in shown.links if link.endswith("config.json")}
    assert len(records) == len(list((new / "runs").iterdir())) == len(runs) > 0
    assert {path.relative_to(new) for path in new.rglob("*") if path.is_file()} <= kept | {Path("index.html")}
    assert "committed snapshot" in (new / "index.html").read_text()


def test_no_page_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        snapshot.main(options(tmp_path))
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "index.html: no such file" in message and message.count("\n") == 1


def test_a_missing_file_keeps_the_old_snapshot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "figures/cpu/index.html"
    page.parent.mkdir(parents=True)
    page.write_text('<header></header><a href="#x">x</a><img src="a%20b.svg" alt="">')
    (page.parent / "a b.svg").write_text("<svg/>")
    snapshot.main(options(tmp_path))
    new = tmp_path / "docs/gallery/cpu"
    assert sorted(path.name for path in new.iterdir()) == ["a b.svg", "index.html"]
    (page.parent / "a b.svg").unlink()
    with pytest.raises(SystemExit):
        snapshot.main(options(tmp_path))
    assert "a b.svg, which does not exist" in capsys.readouterr().err
    assert (new / "a b.svg").exists()

"""The pages: every link leads somewhere, nothing comes from outside, numbers lead to runs, no torch is loaded."""

import dataclasses
import itertools
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from mtp.experiment import all_runs, load_all, load_scale, read_yaml
from mtp.report import claims, comparisons, gallery, kinds, snapshot, tables
from tests.mtp.report.conftest import EXPERIMENTS, fabricate


@dataclasses.dataclass
class Element:
    """A tag with what matters of it."""

    tag: str
    told: dict[str, str]


class Page(HTMLParser):
    """Every element of a page, and its links and ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.elements = path, list[Element]()
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {key: value or "" for key, value in attrs}))

    def of(self, attribute: str) -> list[str]:
        return [element.told[attribute] for element in self.elements if attribute in element.told]

    @property
    def links(self) -> list[str]:
        return self.of("href") + self.of("src")

    @property
    def ids(self) -> list[str]:
        return self.of("id")


def target(page: Path, link: str) -> Path | None:
    """The file that a link of a page leads to; None if it leads out or stays on the page."""
    parts = urlparse(link)
    return (page.parent / unquote(parts.path)).resolve() if parts.path and not parts.scheme else None


def reached(index: Path) -> dict[Path, Page]:
    """All pages that links lead to from the index, within its folder; checks every link on the way."""
    done: dict[Path, Page] = {}
    todo = [index.resolve()]
    while todo:
        path = todo.pop()
        if path in done:
            continue
        page = done[path] = Page(path)
        for link in page.links:
            parts, found = urlparse(link), target(path, link)
            if parts.scheme:
                assert link in ("https://arxiv.org/abs/2404.19737", "data:,"), f"{path}: {link}"
            elif found is None:
                assert parts.fragment in page.ids, f"{path}: {link}"
            else:
                assert found.exists(), f"{path}: {link}"
                assert not parts.fragment or parts.fragment in Page(found).ids, f"{path}: {link}"
                if found.suffix == ".html" and found.is_relative_to(index.parent.resolve()):
                    todo.append(found)
    return done


def experiments() -> list[Path]:
    """The YAMLs of all experiments."""
    return [*(EXPERIMENTS / "paper").glob("*.yaml"), *(EXPERIMENTS / "ablations").glob("*.yaml")]


def options_of(folder: Path) -> list[str]:
    options = ["--results", str(folder / "results"), "--figures", str(folder / "figures")]
    return [*options, "--experiments", str(EXPERIMENTS)]


def build(folder: Path) -> Path:
    """Tables, figures, claims and gallery of the whole suite."""
    options = options_of(folder)
    for path in experiments():
        if read_yaml(path).get("comparisons"):
            comparisons.main([path.stem, *options])
        tables.main([path.stem, *options])
        for figure in read_yaml(path).get("figures", []):
            for end in ("svg", "png"):  # what is on them is for tests/mtp/report/test_figures.py
                (folder / "figures/cpu").mkdir(parents=True, exist_ok=True)
                (folder / f"figures/cpu/{path.stem}.{figure['name']}.{end}").write_text("<svg/>")
    claims.main(options)
    gallery.main(options)
    return folder / "figures/cpu/index.html"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results, figures and pages; tests only read it."""
    folder = tmp_path_factory.mktemp("built")
    fabricate(folder / "results", "cpu")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Page]:
    """Every page, all of whose links were followed."""
    return reached(built / "figures/cpu/index.html")


def test_every_page_is_reached_and_complete(built: Path, pages: dict[Path, Page]) -> None:
    folder = (built / "figures/cpu").resolve()
    assert set(pages) == set(folder.rglob("*.html"))
    assert {path.stem for path in experiments()} | {"index"} == {p.stem for p in pages if p.parent == folder}
    suite = load_all(load_scale("cpu", EXPERIMENTS), EXPERIMENTS)
    shown = {p.stem for p in pages if p.parent == folder / "runs"} - {"index"}
    assert shown == set(all_runs(suite)) | {name for e in suite.values() for name in e.configurations}
    for page in pages.values():
        assert len(page.ids) == len(set(page.ids)), page.path
        assert gallery.MARK in page.text and "@import" not in page.text
        assert all("alt" in element.told for element in page.elements if element.tag == "img")
        for pointer in page.of("popovertarget"):
            assert pointer in page.ids
        for name in page.of("aria-labelledby"):
            assert name in page.ids


def test_index_lists_every_exhibit_in_order_with_its_state(built: Path, pages: dict[Path, Page]) -> None:
    index = pages[(built / "figures/cpu/index.html").resolve()]
    suite = load_all(load_scale("cpu", EXPERIMENTS), EXPERIMENTS)
    order = [experiment.name for experiment in claims.in_paper_order(suite)]
    assert [e.told["id"] for e in index.elements if e.told.get("class") == "exhibit"] == order
    assert "not testable at this scale" in index.text and "Made-up CPU" in index.text
    assert "partly measured" in index.text
    for before, after in itertools.pairwise(order):
        page = pages[(built / f"figures/cpu/{before}.html").resolve()]
        steps = [e.told["href"] for e in page.elements if e.told.get("rel") == "next"]
        assert set(steps) == {f"{after}.html"}


def test_from_a_number_to_its_run_in_two_clicks(built: Path, pages: dict[Path, Page]) -> None:
    """Ours in a table is a link to the run, or a button that opens a list of such links."""
    runs = (built / "results/cpu/runs").resolve()
    table1 = pages[(built / "figures/cpu/table1.html").resolve()]
    numbers = [e for e in table1.elements if e.told.get("class") == "trace"]
    assert len(numbers) > 40
    behind = re.findall(r'<div id="(row-\d+)".*?</div>', table1.text, re.DOTALL)
    assert set(behind) <= set(table1.ids) and behind
    listed = re.search(r'<div id="row-1".*?</div>', table1.text, re.DOTALL)
    assert listed
    hrefs = re.findall(r'href="([^"]+)"', listed[0])
    assert len(hrefs) == 3
    for href in hrefs:
        path = target(table1.path, href)
        assert path is not None
        page, name = pages[path], path.stem
        found = {target(path, link) for link in page.links}
        assert {runs / name / "config.json", runs / name / "validation.csv", table1.path} <= found
        assert f"--config {built}/results/cpu/runs/{name}/config.json" in page.text
        assert "python -m mtp.train" in page.text and f"snakemake --cores all {built}/results" in page.text
        assert "Made-up CPU" in page.text and "<td>bytes</td>" in page.text


def test_a_single_run_is_linked_directly_and_measured_configurations_have_pages(
    built: Path, pages: dict[Path, Page]
) -> None:
    table = pages[(built / "figures/cpu/tableS5.html").resolve()]
    links = {e.told["href"] for e in table.elements if e.tag == "a" and e.told.get("class") == "trace"}
    assert links and all(link.startswith("runs/random-") for link in links)
    page = pages[(table.path.parent / links.pop()).resolve()]
    assert "python -m mtp.measure" in page.text and "nothing is trained" in page.text


def test_a_run_and_the_one_that_it_starts_from_link_each_other(built: Path, pages: dict[Path, Page]) -> None:
    suite = load_all(load_scale("cpu", EXPERIMENTS), EXPERIMENTS)
    folder = (built / "figures/cpu/runs").resolve()
    children = {name: config.init_from for name, config in all_runs(suite).items() if config.init_from}
    assert children
    for child, parent in children.items():
        page = pages[folder / f"{child}.html"]
        assert f"{parent}.html" in page.links and f"runs/{parent}" in page.text.split("--start ")[1]
        assert f"{child}.html" in pages[folder / f"{parent}.html"].links


def test_pages_of_what_is_gone_go_and_files_of_others_stay(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "figures/cpu"
    (folder / "gone.html").write_text(f"<!DOCTYPE html>{gallery.MARK}")
    (folder / "runs/gone.html").write_text("")
    (folder / "mine.html").write_text("<!DOCTYPE html>")
    gallery.main(options_of(tmp_path))
    assert not (folder / "gone.html").exists() and not (folder / "runs/gone.html").exists()
    assert (folder / "mine.html").exists()

    before = {path: path.read_bytes() for path in folder.rglob("*.html")}
    (tmp_path / "results/cpu/table1.csv").unlink()
    with pytest.raises(SystemExit):
        gallery.main(options_of(tmp_path))
    assert {path: path.read_bytes() for path in folder.rglob("*.html")} == before


def test_a_snapshot_works_alone(built: Path, pages: dict[Path, Page], tmp_path: Path) -> None:
    """Complete without results/ and figures/, nothing stale left."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    new = tmp_path / "docs/gallery/cpu"
    new.mkdir(parents=True)
    (new / "gone.svg").write_text("")
    folders = {"--results": "results", "--figures": "figures", "--out": "docs/gallery"}
    snapshot.main([word for option, name in folders.items() for word in (option, str(tmp_path / name))])
    assert not (new / "gone.svg").exists()
    assert [path.name for path in (tmp_path / "docs/gallery").iterdir()] == ["cpu"]
    for name in ("claims.csv", "table1.csv"):
        assert (new / name).read_bytes() == (built / "results/cpu" / name).read_bytes()

    shutil.rmtree(tmp_path / "results")
    shutil.rmtree(tmp_path / "figures")
    copies = reached(new / "index.html")
    same = {path.relative_to(new.resolve()): page.ids for path, page in copies.items()}
    assert same == {path.relative_to((built / "figures/cpu").resolve()): page.ids for path, page in pages.items()}
    kept = set(copies)
    for path, page in copies.items():
        kept |= {found for link in page.links if (found := target(path, link))}
    drawn = {Path(link).name for page in pages.values() for link in page.links if link.endswith(".svg")}
    assert drawn and drawn <= {path.name for path in kept}
    assert (EXPERIMENTS / "paper" / "table1.yaml").resolve() in kept
    assert {path.resolve() for path in new.rglob("*") if path.is_file()} <= kept
    texts = {path: page.text for path, page in copies.items()}
    assert [path.name for path, text in texts.items() if "committed snapshot" in text] == ["index.html"]
    assert not any("<li></li>" in text for text in texts.values())


def test_no_torch() -> None:
    modules = ["tables", "claims", "comparisons", "gallery", *(f"kinds.{kind}" for kind in kinds.names())]
    imports = ", ".join(f"mtp.report.{module}" for module in modules)
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=EXPERIMENTS.parent).returncode == 0


def test_paper_order() -> None:
    order = [e.name for e in claims.in_paper_order(load_all(load_scale("cpu", EXPERIMENTS), EXPERIMENTS))]
    assert order.index("fig3") < order.index("table1")

"""Copy a scale's pages and their numbers into docs/gallery, for people who browse before they run. No torch here.

    python -m mtp.report.snapshot --scale cpu      # docs/gallery/cpu/index.html

Copied: the pages of exhibits and runs, their SVGs, the CSVs of tables and claims, and the measurements. The page of a
run holds its configuration, the ends of its logs, and on which machine, with which versions and from which commit it
was made. Links to files of the repository are kept, links to what is not copied (PNGs, records, logs and curves of
single runs) are taken out: the pages work from the folder alone.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from mtp.errors import UserError

LINK = re.compile(r'(?P<before> · )?<a href="(?P<href>[^"]+)">(?P<text>[^<]*)</a>')
"""A link that can be taken out: nothing but text, and no further attribute."""
TARGET = re.compile(r'(?P<name> (?:href|src))="(?P<target>[^"]+)"')
NOTICE = (
    "<p>This is a committed snapshot: pictures, tables, claims, measurements and the pages of the runs, "
    "without their files, full logs and curves.</p>"
)


def slim(svg: str) -> str:
    """A picture of matplotlib's in three fifths of its bytes: no comments, needless spaces or invisible digits."""

    def rounded(match: re.Match[str]) -> str:
        value = float(match[0])
        return f"{value:.{2 if abs(value) >= 1 else 4}f}".rstrip("0").rstrip(".")

    def glyph(match: re.Match[str]) -> str:
        # 2048 units to an em are 16 times what a letter of 9 points shows.
        coordinates = re.sub(r"-?[\d.]+", lambda number: str(round(float(number[0]) / 16)), match[1])
        return f'd="{coordinates}" transform="scale(0.25)"'

    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    text = re.sub(r'd="([^"]*)" transform="scale\(0\.015625\)"', glyph, text)
    text = re.sub(r"-?\d+\.\d{3,}", rounded, text)
    text = re.sub(r'transform="translate\((\S+) 0\)"/>', r'x="\1"/>', text)
    text = text.replace("xlink:href", "href").replace("DejaVuSans-", "d")
    text = re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0].strip()), text)
    return re.sub(r">\s+<", "><", re.sub(r"\s+", " ", text))


class Snapshot:
    """The pages of a scale on their way to another folder."""

    def __init__(self, scale: str, results: Path, figures: Path, out: Path) -> None:
        self.index = figures / scale / "index.html"
        self.results, self.figures, self.out = (results / scale).resolve(), (figures / scale).resolve(), out / scale
        self.data = results.resolve()
        self.copies: dict[Path, Path] = {}
        """Source -> where it lies in the snapshot."""

    def place(self, source: Path) -> Path | None:
        """Where a file that a page names will be, from the snapshot's folder: in it, where it is now, or nowhere."""
        if source.is_relative_to(self.figures) and source.suffix in (".svg", ".html", ".css", ".js"):
            return source.relative_to(self.figures)
        if source.parent == self.results and source.suffix == ".csv":
            return Path(source.name)
        if source.parent == self.results / "measurements":
            return source.relative_to(self.results)
        generated = any(source.is_relative_to(folder) for folder in (self.data, self.figures.parent))
        return None if generated else Path(os.path.relpath(source, self.out.resolve()))

    def link(self, page: Path, href: str) -> str | None:
        """A link of `page` as it must read in the snapshot; None if its target is not there.

        Raises:
            UserError: the page names a file that does not exist.
        """
        parts = urlsplit(href)
        if parts.scheme or not parts.path:
            return href
        source = Path(os.path.normpath(page.parent / unquote(parts.path)))
        target = self.place(source)
        if target is None:
            return None
        if not source.exists():
            raise UserError(f"{page}: names {source}, which does not exist; run `make` again")
        if ".." not in target.parts:
            self.copies[source] = target
        new = self.out.resolve()
        told = quote(Path(os.path.relpath(new / target, new / page.relative_to(self.figures).parent)).as_posix())
        return told + (f"#{parts.fragment}" if parts.fragment else "")

    def rewrite(self, page: Path) -> str:
        """A page's text with its links set right.

        Raises:
            UserError: it cannot do without something that is not copied, or that does not exist.
        """

        def removable(match: re.Match[str]) -> str:
            return "" if self.link(page, match["href"]) is None else match[0]

        def target(match: re.Match[str]) -> str:
            told = self.link(page, match["target"])
            if told is None:
                raise UserError(f"{page}: shows {match['target']}, which a snapshot does not hold")
            return f'{match["name"]}="{told}"'

        text = TARGET.sub(target, LINK.sub(removable, page.read_text()))
        text = re.sub(r"\n<li></li>", "", text)
        return text.replace("</header>", f"{NOTICE}\n</header>", 1) if page == self.index.resolve() else text

    def pages(self) -> dict[Path, str]:
        """All pages that can be reached from the index, where they will lie, with their texts."""
        todo, done = [self.index.resolve()], dict[Path, str]()
        while todo:
            page = todo.pop()
            if page not in done:
                done[page] = self.rewrite(page)
                todo += [source for source in self.copies if source.suffix == ".html"]
        return {page.relative_to(self.figures): text for page, text in done.items()}

    def write(self) -> Path:
        """Replace the snapshot as a whole; returns its index.

        Raises:
            UserError: the scale has no pages yet, or they name files that are gone.
        """
        if not self.index.exists():
            raise UserError(f"{self.index}: no such file; make the scale's tables and figures first (`make`)")
        pages = self.pages()
        fresh = self.out.with_name(f".{self.out.name}.{os.getpid()}.tmp")
        try:
            fresh.mkdir(parents=True)
            for source, target in self.copies.items():
                (fresh / target).parent.mkdir(parents=True, exist_ok=True)
                if source.suffix == ".svg":
                    (fresh / target).write_text(slim(source.read_text()))
                else:
                    shutil.copyfile(source, fresh / target)
            for target, text in pages.items():
                (fresh / target).write_text(text)
            shutil.rmtree(self.out, ignore_errors=True)
            fresh.replace(self.out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return self.out / "index.html"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mtp.report.snapshot", description=__doc__.split("\n\n")[0])
    parser.add_argument("--scale", default="cpu", help="file name in experiments/scales (default: cpu)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--figures", type=Path, default=Path("figures"), help="default: figures")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"), help="default: docs/gallery")
    args = parser.parse_args(argv)
    try:
        print(Snapshot(args.scale, args.results, args.figures, args.out).write())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Copy a scale's page and its numbers into docs/gallery, for people who browse before they run. No torch here.

    python -m mtp.report.snapshot --scale cpu      # docs/gallery/cpu/index.html

Copied: the page, its SVGs, the tables and claims (CSV and HTML), the measurements, and each run's config.json; these
two say on which machine, with which versions and from which commit they were made. Links to files of the repository
are kept, links to what is not copied (PNGs, logs, curves of single runs) are taken out: the page works from the folder
alone.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from mtp.errors import UserError

LINK = re.compile(r'(?P<before> · )?<a (?P<more>[^>]*?)href="(?P<href>[^"]+)">(?P<text>[^<]*)</a>')
IMAGE = re.compile(r'<img src="(?P<src>[^"]+)"')
NOTICE = (
    "<p>This is a committed snapshot: pictures, tables, claims, measurements and the runs' records, "
    "without logs and curves.</p>"
)


class Snapshot:
    """One page on its way to another folder."""

    def __init__(self, scale: str, results: Path, figures: Path, out: Path) -> None:
        self.page = figures / scale / "index.html"
        self.results, self.figures, self.out = (results / scale).resolve(), (figures / scale).resolve(), out / scale
        self.data = results.resolve()
        self.copies: dict[Path, Path] = {}
        """Source -> where it lies in the snapshot."""

    def place(self, source: Path) -> Path | None:
        """Where a file that the page names will be: in the snapshot, where it is now, or nowhere."""
        if source.suffix in (".svg", ".html") and source.parent == self.figures:
            return Path(source.name)
        if source.suffix in (".csv", ".html") and source.parent == self.results:
            return Path(source.name)
        if source.parent == self.results / "measurements":
            return source.relative_to(self.results)
        if source.name == "config.json" and source.parent.parent == self.results / "runs":
            return source.relative_to(self.results)
        generated = any(source.is_relative_to(folder) for folder in (self.data, self.figures.parent))
        return None if generated else Path(os.path.relpath(source, self.out.resolve()))

    def link(self, href: str) -> str | None:
        """The link as it must read in the snapshot; None if its target is not there.

        Raises:
            UserError: the page names a file that does not exist.
        """
        parts = urlsplit(href)
        if parts.scheme or not parts.path:
            return href
        source = Path(os.path.normpath(self.page.resolve().parent / unquote(parts.path)))
        target = self.place(source)
        if target is None:
            return None
        if not source.exists():
            raise UserError(f"{self.page}: names {source}, which does not exist; run `make` again")
        if ".." not in target.parts:
            self.copies[source] = target
        return quote(target.as_posix())

    def rewrite(self, text: str) -> str:
        """The page's text with its links set right."""

        def anchor(match: re.Match[str]) -> str:
            href = self.link(match["href"])
            return "" if href is None else f'{match["before"] or ""}<a {match["more"]}href="{href}">{match["text"]}</a>'

        def image(match: re.Match[str]) -> str:
            src = self.link(match["src"])
            if src is None:
                raise UserError(f"{self.page}: shows {match['src']}, which is no figure of this scale")
            return f'<img src="{src}"'

        text = IMAGE.sub(image, LINK.sub(anchor, text))
        return re.sub(r"\n<li></li>", "", text).replace("</header>", f"{NOTICE}\n</header>", 1)

    def write(self) -> Path:
        """Replace the snapshot as a whole; returns its page.

        Raises:
            UserError: the scale has no page yet, or the page names files that are gone.
        """
        if not self.page.exists():
            raise UserError(f"{self.page}: no such file; make the scale's tables and figures first (`make`)")
        text = self.rewrite(self.page.read_text())
        fresh = self.out.with_name(f".{self.out.name}.{os.getpid()}.tmp")
        try:
            fresh.mkdir(parents=True)
            for source, target in self.copies.items():
                (fresh / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, fresh / target)
            (fresh / "index.html").write_text(text)
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

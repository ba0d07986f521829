"""What the documents name exists: commands, options, targets, paths and links; their YAML runs."""

import functools
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mtp.dag import Suite
from mtp.data.corpora import load_corpus
from mtp.experiment import load_all, load_scale
from mtp.report import figures, tables, tidy
from tests.conftest import ROOT
from tests.mtp.report.conftest import fabricate

DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *("docs/architecture.md", "docs/adding.md", "docs/benchmarks.md", "docs/cluster.md", "docs/deviations.md"),
    "docs/log.md",
    *("experiments/README.md", "results/README.md", "figures/README.md"),
]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATHS = re.compile(r"\.?[\w.*-]+(/[\w.*-]*)*")
FOLDERS = ("mtp/", "tests/", "docs/", "experiments/", "workflow/", "profiles/", "results/", "figures/", ".ci/")
GENERATED = ("results/", "figures/", "docs/gallery")


def code(document: str) -> list[str]:
    """Inline code and the lines of unmarked code blocks, as written."""
    text = (ROOT / document).read_text()
    lines = [line for language, block in FENCE.findall(text) if not language for line in block.splitlines()]
    return lines + [" ".join(found.split()) for found in CODE.findall(FENCE.sub("", text))]


def commands(document: str, start: str) -> Iterator[list[str]]:
    """Words of every command that starts like this, comments left out."""
    for line in code(document):
        line = line.split("#")[0].strip()
        if line == start or line.startswith(start + " "):
            yield line.removeprefix(start).split()


@functools.cache
def options_of(*words: str) -> set[str]:
    """Long and short options that a command's help names."""
    done = subprocess.run([sys.executable, "-m", *words, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout))


@functools.cache
def suite() -> Suite:
    return Suite({"scale": "cpu"})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(document, "make"):
        assert set(words[:1]) <= targets, f"{document}: make {' '.join(words)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_and_options(document: str) -> None:
    for words in commands(document, "python -m"):
        if not words or "<" in words[0]:
            continue
        module = ROOT / words[0].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), f"{document}: {words[0]}"
        subcommand = words[1:2] if words[0] == "mtp.prepare" and not words[1].startswith("-") else []
        if options := [word for word in words[1:] if word.startswith("--")] or subcommand:
            told = options_of(words[0], *subcommand)
            missing = [option for option in options if option.startswith("--") and option not in told]
            assert not missing, f"{document}: python -m {' '.join(words)}: {missing}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snakemake_targets_and_files(document: str) -> None:
    known = {
        *suite().experiments,
        *re.findall(r"# experiments/ablations/(\w+)\.yaml", (ROOT / "README.md").read_text()),
    }
    rules = re.findall(r"(?m)^rule (\w+):", "".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk")))
    for words in commands(document, "snakemake"):
        if "--until" in words:
            at = words.index("--until") + 1
            assert set(words[at:]) <= set(rules), f"{document}: snakemake {' '.join(words)}"
            words = words[:at]
        for option, word in zip(["", *words], words, strict=False):
            if "<" in word or word == "all":
                continue
            if option in ("--configfile", "--workflow-profile"):
                assert (ROOT / word).exists(), f"{document}: snakemake {' '.join(words)}"
            elif not word.startswith("-"):
                assert word in known, f"{document}: snakemake {' '.join(words)}"
            else:
                assert word in options_of("snakemake"), f"{document}: snakemake {' '.join(words)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths(document: str) -> None:
    """A path of the repository exists; a generated one is written by some rule or stage."""
    writers = [*(ROOT / "mtp").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk")]
    source = "\n".join(path.read_text() for path in writers)
    named = {word for line in code(document) for word in line.split() if word.startswith(FOLDERS)}
    ours = set(re.findall(r"# (experiments/\w+/\w+\.yaml)", (ROOT / "README.md").read_text()))
    for word in named - ours:
        if "<" in word or not PATHS.fullmatch(word):
            continue
        if word.startswith(GENERATED):
            name = Path(word).name
            folder = "." not in name or "*" in name
            assert folder or name in source or word in suite().all_exhibits(), f"{document}: {word}"
        else:
            assert list(ROOT.glob(word)), f"{document}: {word}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links(document: str) -> None:
    for link in LINK.findall(FENCE.sub("", (ROOT / document).read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), f"{document}: {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", FENCE.sub("", target.read_text()), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, f"{document}: {link}"


def snippet(path: str) -> str:
    """The YAML of the README that starts with a comment naming this path."""
    blocks = [block for language, block in FENCE.findall((ROOT / "README.md").read_text()) if language == "yaml"]
    found = [block for block in blocks if block.startswith(f"# {path}\n")]
    assert len(found) == 1, path
    return found[0]


def test_the_ablation_of_the_readme(tmp_path: Path) -> None:
    """It resolves at every scale, draws its table and figure, and trains what the text says."""
    root = tmp_path / "experiments"
    shutil.copytree(ROOT / "experiments", root)
    before = load_all(load_scale("cpu", root), root)
    path = root / "ablations" / "head_layer.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(snippet("experiments/ablations/head_layer.yaml"))
    for scale in sorted(path.stem for path in (root / "scales").glob("*.yaml")):
        points = load_all(load_scale(scale, root), root)["head_layer"].points
        assert len(points) == 4 and all(point.runs for point in points)
    found = fabricate(tmp_path / "results", "cpu", root)["head_layer"]
    new = [run for name, run in found.runs.items() if name not in before["table1"].runs]
    assert {(run.heads, run.n_future) for run in new} == {("replicated", 2)}
    folders = ["--results", "results", "--figures", "figures", "--experiments", "experiments"]
    options = [str(tmp_path / word) if i % 2 else word for i, word in enumerate(folders)]
    tables.main(["head_layer", *options])
    figures.main(["head_layer", *options])
    assert tidy.read(tmp_path / "results/cpu/head_layer.csv")["status"].eq("measured").all()
    assert (tmp_path / "figures/cpu/head_layer.bars.svg").exists()


def test_the_corpus_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(snippet("experiments/corpora/mine.yaml"))
    assert load_corpus("mine", tmp_path).kind == "folder"


def test_continuous_integration_runs_the_tests_only() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    lines = script.read_text().splitlines()
    assert lines[1] == "set -euo pipefail" and lines[-1] == "make test" and len(lines) == 4


def test_citation_and_hooks_are_yaml() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and "2404.19737" in citation["references"][0]["url"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]


def test_the_verdicts_of_the_readme_are_those_of_the_gallery() -> None:
    """Counts that a sentence gives must not outlive the snapshot that they were read from."""
    verdicts = Counter(tidy.read(ROOT / "docs/gallery/cpu/claims.csv")["verdict"])
    counts = r"Of (\d+) claims (\d+) hold, (\d+) are reversed, (\d+) inconclusive and (\d+) not testable"
    told = re.search(counts, " ".join(README.read_text().split()))
    assert told
    names = ("holds", "reversed", "inconclusive", "not testable at this scale")
    assert [int(count) for count in told.groups()] == [verdicts.total(), *(verdicts[name] for name in names)]

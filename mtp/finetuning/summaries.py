"""The paper's eight summarization sets, from the hub only (Section 3.7, Figure 6, Tables S8 to S10).

A document is the text, a line that announces the summary, and the summary. The paper gives no prompt; this one is ours.
Its ninth set, BigPatent, is in none of its result tables.

Where a set lies on the hub as a script, which `datasets` no longer runs, the hub's own conversion of it is read
(`refs/convert/parquet`). That name may move: put the commit that the hub shows into the corpus's options (`revision`).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.finetuning import Example
from mtp.problems import Unavailable, _hub
from mtp.settings import checked, positive

NAME = "summaries"
"""In results."""
VERSION = 1
ANNOUNCED = "\n\nSummary:"
CONVERTED = "refs/convert/parquet"
REMEDY = "prepare it where the hub can be reached, and copy the prepared folder"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a set lies on the hub, and its two columns."""

    dataset: str
    revision: str
    text: str
    summary: str
    config: str = "default"


SETS = {
    "CNN/Dailymail": Source(
        "abisee/cnn_dailymail", "96df5e686bee6baa90b8bee7c28b81fa3fa6223d", "article", "highlights", "3.0.0"
    ),
    "Multi-News": Source("alexfabbri/multi_news", CONVERTED, "document", "summary"),
    "OrangeSum": Source("EdinburghNLP/orange_sum", CONVERTED, "text", "summary", "abstract"),
    "pn-summary": Source("HooshvareLab/pn_summary", CONVERTED, "article", "summary", "1.0.0"),
    "SAMSum": Source("knkarthick/samsum", CONVERTED, "dialogue", "summary"),
    "ThaiSum": Source("pythainlp/thaisum", CONVERTED, "body", "summary"),
    "WikiSummary": Source("m3hrdadfi/wiki_summary", CONVERTED, "article", "highlights"),
    "XSum": Source("EdinburghNLP/xsum", CONVERTED, "document", "summary"),
}
"""Name in the paper -> where it lies. Only the revisions of whole commits are fixed for good."""
SPLITS = {"train": "train", "valid": "validation", "test": "test"}
"""Ours -> the hub's."""


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: dataset (a name of `SETS`); revision and config (instead of those known here); text_characters (longest
    text; the rest of it is cut off, so that its summary fits the context); examples (most of a split).

    Raises:
        UserError: naming the option.
    """
    found = checked(
        options,
        {"dataset": str},
        {"revision": str, "config": str, "text_characters": int, "examples": int},
    )
    if found["dataset"] not in SETS:
        hint = f"{nearest(found['dataset'], SETS)} (known: {', '.join(SETS)})"
        raise UserError(f"options: dataset: unknown {found['dataset']!r}{hint}")
    positive(found, "text_characters", "examples")
    return found


def examples(options: Mapping[str, Any], source: Path | None = None) -> dict[str, list[Example]]:
    """The splits of the data set, each pair of text and summary once. `source` is not read.

    Raises:
        Unavailable: the hub cannot be had.
        UserError: the data set has no such columns.
    """
    found: dict[str, list[Example]] = {}
    seen: set[tuple[str, str]] = set()
    for split in ("test", "valid", "train"):  # what is twice in the data set is not trained on
        found[split] = []
        for text, summary in _pairs(options, SPLITS[split]):
            if len(found[split]) == options.get("examples"):
                break
            example = Example(text[: options.get("text_characters")].strip() + ANNOUNCED, f" {summary.strip()}")
            if text.strip() and summary.strip() and (example.question, example.answer) not in seen:
                seen.add((example.question, example.answer))
                found[split].append(example)
    return found


def _pairs(options: Mapping[str, Any], split: str) -> Iterator[tuple[str, str]]:
    known = SETS[options["dataset"]]
    revision, config = options.get("revision", known.revision), options.get("config", known.config)
    try:
        for row in _hub.rows(known.dataset, config, split=split, revision=revision, streaming=True):
            if missing := {known.text, known.summary} - set(row):
                raise UserError(f"{known.dataset}@{revision}: no column {sorted(missing)[0]!r} (has: {', '.join(row)})")
            yield row[known.text], row[known.summary]
    except Unavailable as error:
        raise Unavailable(f"{options['dataset']}: {error}; {REMEDY}") from None

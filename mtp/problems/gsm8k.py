"""GSM8K (Cobbe et al., 2021): 8,792 problems of arithmetic in words. No programs: an answer ends with a number.

The data set (MIT licence) does not come with this project. FILE is its train.jsonl with its test.jsonl behind it; the
file is looked for in the folder that settings name, in that of the environment variable MTP_BENCHMARKS, and in
results/data/benchmarks, where `python -m mtp.problems fetch gsm8k` puts what one of these folders or the hub gives.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mtp.atomic import replacing
from mtp.config import nearest
from mtp.errors import UserError
from mtp.problems import _hub
from mtp.problems._files import ENVIRONMENT, find, offered
from mtp.problems._problem import Problem, Unavailable

NAME = "GSM8K"
FILE = "gsm8k.jsonl"
DATASET, REVISION = "openai/gsm8k", "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"
SOURCE = f"{DATASET}@{REVISION}, the splits train and test"
SPLITS = {"train": range(7473), "test": range(7473, 8792)}
"""Split -> lines of the file."""
KEYS = ("question", "answer")
REMEDY = (
    f"put train.jsonl and test.jsonl (github.com/openai/grade-school-math), one behind the other, as {FILE} into a"
    f" folder, name the folder in the environment variable {ENVIRONMENT} and run again, or run"
    " `python -m mtp.problems fetch gsm8k` with network"
)
STOPS = ("\nQ:",)
_ANNOTATION = re.compile(r"<<[^<>]*>>")


def asked(row: Mapping[str, str]) -> str:
    """A question as the prompt shows it."""
    return f"Q: {row['question'].strip()}\nA:"


def worked(row: Mapping[str, str]) -> str:
    """The answer behind it: without the calculator's annotations, with words in place of "####"."""
    steps, _, final = _ANNOTATION.sub("", row["answer"]).rpartition("####")
    return f" {' '.join(steps.split())} The answer is {final.strip()}.\n\n"


def locate(folder: str = "") -> Path:
    """The file that holds the data.

    Raises:
        Unavailable: it is nowhere.
    """
    return find("gsm8k", FILE, folder, REMEDY)


def rows(split: str, folder: str = "") -> list[dict[str, str]]:
    """Question and answer of every problem of a split.

    Raises:
        Unavailable: the file is nowhere.
        UserError: unknown split, or a file that does not hold them.
    """
    if split not in SPLITS:
        raise UserError(f"split: unknown {split!r}{nearest(split, SPLITS)} (known: {', '.join(SPLITS)})")
    found = read(locate(folder))
    return [found[line] for line in SPLITS[split]]


def load(split: str = "test", folder: str = "") -> tuple[Problem, ...]:
    """The problems of a split, without tests: their answers are numbers (`mtp/evals/gsm8k.py`).

    Raises:
        Unavailable, UserError: as `rows`.
    """
    return tuple(
        Problem(f"{NAME}/{line}", asked(row), "", worked(row), "", "", (), STOPS)
        for line, row in zip(SPLITS.get(split, ()), rows(split, folder), strict=True)
    )


def read(path: Path) -> list[dict[str, str]]:
    """The lines of the file.

    Raises:
        UserError: not the data set known here.
    """
    total = SPLITS["test"].stop
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        found = [{key: row[key] for key in KEYS} for row in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the lines of GSM8K, objects with question and answer ({error!r})") from None
    if len(found) != total:
        raise UserError(f"{path}: {len(found):,} lines; train.jsonl and test.jsonl of GSM8K together have {total:,}")
    return found


def fetch(folder: str, out: Path) -> None:
    """Bring the file to `out`: from the folders that the user names, else from the hub.

    Raises:
        Unavailable: neither has it.
        UserError: what was found is not the data set known here.
    """
    path = offered(FILE, folder) or (out if out.exists() else None)
    if path:
        read(path)
        data = path.read_bytes()
    else:
        data = _from_hub()
    if path != out:
        with replacing(out) as temporary:
            temporary.write_bytes(data)


def _from_hub() -> bytes:
    try:
        found = [row for split in SPLITS for row in _hub.rows(DATASET, "main", split=split, revision=REVISION)]
    except Unavailable as error:
        raise Unavailable(f"{FILE} is not here, and {error}; {REMEDY}") from None
    if len(found) != (total := SPLITS["test"].stop):
        raise UserError(f"{DATASET}: {len(found):,} problems instead of {total:,}")
    return "".join(json.dumps({key: row[key] for key in KEYS}) + "\n" for row in found).encode()

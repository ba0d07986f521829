"""Functions of a code corpus and the first lines of their docstrings: the stand-in for summarization (Section 3.7).

The question is a function without its docstring and a quotation mark, the answer is the docstring's first line:

    def clear(self):
        self.items = []
    \"\"\"Remove all items.

Test functions come from documents that the corpus holds out, so neither pretraining nor finetuning has seen them;
validation functions from documents that finetuning has not seen. A function is asked for once: of equal ones the first
stays, and one that is in training is in no other split.
"""

import ast
import random
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtp.data.storage import read_manifest
from mtp.errors import UserError
from mtp.finetuning import Example
from mtp.settings import checked, positive

NAME = "docstrings"
"""In results: none of the paper's eight sets."""
VERSION = 1
QUOTES = '\n"""'
VALIDATION = 10
"""One document in so many of those that the corpus trains on is kept for validation."""


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: train, valid, test (most examples of a split, drawn by seed); question_bytes, answer_bytes (longest);
    documents (read only so many of the corpus's training documents); seed.

    Raises:
        UserError: naming the option.
    """
    kinds = dict.fromkeys(("train", "valid", "test", "question_bytes", "answer_bytes", "documents", "seed"), int)
    found = checked(options, {}, kinds)
    positive(found, "train", "valid", "test", "question_bytes", "answer_bytes", "documents")
    return {"seed": 0, "question_bytes": 240, "answer_bytes": 80} | found


def examples(options: Mapping[str, Any], source: Path | None) -> dict[str, list[Example]]:
    """Draws from what `functions` finds in the prepared bytes of `source`.

    Raises:
        UserError: no source, not a prepared folder of bytes, or a split without a function.
    """
    if source is None:
        raise UserError("source: missing; the set docstrings is made from a corpus of code")
    if read_manifest(source)["vocabulary"]["name"] != "bytes":
        raise UserError(f"{source}: not prepared bytes; docstrings are read from text")
    seen: set[str] = set()
    texts = _documents(source, "train")[: options.get("documents")]
    kept = {"train": [i for i in range(len(texts)) if i % VALIDATION], "valid": range(0, len(texts), VALIDATION)}
    found = {split: _pairs([texts[i] for i in numbers], options, seen) for split, numbers in kept.items()}
    found["test"] = _pairs(_documents(source, "valid"), options, seen)
    draw = random.Random(options["seed"])
    for split, pairs in found.items():
        if not pairs:
            raise UserError(f"{source}: no function of the split {split} has a docstring and is short enough")
        draw.shuffle(pairs)
        del pairs[options.get(split, len(pairs)) :]
    return found


def _documents(folder: Path, split: str) -> list[str]:
    """Texts of a prepared folder of bytes, in stored order."""
    data = np.fromfile(folder / f"{split}.bin", np.uint8)
    starts = np.load(folder / f"{split}.offsets.npy")
    return [data[a : b - 1].tobytes().decode() for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def _pairs(texts: list[str], options: Mapping[str, Any], seen: set[str]) -> list[Example]:
    """Examples of the documents whose function is not in `seen`; adds their functions to it."""
    found = []
    for text in texts:
        for code, line in functions(text):
            question = code + QUOTES
            short = (
                len(question.encode()) <= options["question_bytes"] and len(line.encode()) <= options["answer_bytes"]
            )
            if short and code not in seen:
                seen.add(code)
                found.append(Example(question, line))
    return found


def functions(text: str) -> Iterator[tuple[str, str]]:
    """Each function of a Python file that has a docstring: its code without it, at the left margin, and its first line.

    A function that is only its docstring has no code to describe and is left out. Text that is no Python gives none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 1:
            line = (ast.get_docstring(node) or "").partition("\n")[0].strip()
            if any(letter.isalpha() for letter in line):
                del node.body[0]
                yield ast.unparse(node), line

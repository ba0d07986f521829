"""A corpus whose documents are examples of a synthetic task: what is prepared of it, and its task.

Training examples are made while training (mtp/data/stream.py), so a prepared folder holds only held-out ones, on the
test side of the task's split and not among those that evaluations ask for.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtp.data.storage import read_manifest, staging, write_manifest
from mtp.data.vocabulary import ByteVocabulary

KIND = "synthetic"
HELD_OUT_SEED = 1
"""Evaluations ask for the test examples of seed 0."""


def load_task(corpus: Mapping[str, Any]) -> Any:
    """The `synthetic.Task` of a corpus, by the keys of its canonical JSON.

    Imported by name, so that a change to a task is a change only to what uses it (mtp/modules.py).

    Raises:
        UserError: an unknown task, or a bad option.
    """
    return importlib.import_module("synthetic").load(corpus["task"], corpus["options"])


def scores() -> tuple[str, ...]:
    """What the synthetic tasks tell of an answer, all together."""
    return tuple(importlib.import_module("synthetic").scores())


def task_of(folder: Path) -> Any | None:
    """The task behind a prepared folder; None if its text is not synthetic.

    Raises:
        UserError: the folder is not prepared.
    """
    corpus = read_manifest(folder).get("corpus", {})
    return load_task(corpus) if corpus.get("kind") == KIND else None


def documents(examples: Any) -> tuple[np.ndarray, np.ndarray]:
    """`synthetic.Examples` as documents: their bytes, each example with its separator, and where each begins.

    Returns:
        text_S: uint8.
        starts_K: int64.
    """
    lengths_K = np.diff(examples.starts_K)
    ends_K = np.cumsum(lengths_K + 1)
    text_S = np.full(int(ends_K[-1]), ByteVocabulary.separator, np.uint8)
    text_S[np.arange(len(examples.text_S)) + np.repeat(np.arange(len(lengths_K)), lengths_K)] = examples.text_S
    return text_S, ends_K - lengths_K - 1


def build(corpus: Any, out: Path) -> dict[str, Any]:
    """Prepare the folder of a `Synthetic` corpus and return its manifest.

    Raises:
        UserError: a bad option, or the disk is full.
    """
    values = json.loads(corpus.to_json())
    text_S, starts_K = documents(load_task(values).examples("test", HELD_OUT_SEED, 0, corpus.validation_examples, None))
    with staging(out, 2 * text_S.nbytes) as folder:
        text_S.tofile(folder / "valid.bin")
        np.save(folder / "valid.offsets.npy", starts_K)
        count = len(starts_K)
        manifest = {
            "format": 1,
            "corpus": values,
            "vocabulary": ByteVocabulary().describe(),
            "splits": {"valid": {"documents": count, "bytes": len(text_S) - count, "tokens": len(text_S)}},
        }
        write_manifest(folder, manifest)
    return manifest

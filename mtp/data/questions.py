"""A finetuning set as a prepared folder: its documents for training, and its examples for evaluations.

Run by `python -m mtp.prepare corpus`. A document is a question with its answer. Examples of the split `test` are kept
for evaluations and are no documents.
"""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from mtp import finetuning
from mtp.data.storage import staging, write_manifest
from mtp.data.vocabulary import ByteVocabulary
from mtp.errors import UserError
from mtp.problems import Unavailable

ORDER_SEED = 0


def build(corpus: Any, out: Path) -> dict[str, Any]:
    """Prepare the folder `out` of a `Finetuning` corpus and return its manifest.

    Raises:
        UserError: the set's data cannot be had, a split is empty, two splits share an example, or the disk is full.
    """
    made = finetuning.module(corpus.set)
    source = out.parent.parent / corpus.source / "bytes" if corpus.source else None
    try:
        found: dict[str, list[finetuning.Example]] = made.examples(made.check(corpus.options), source)
    except Unavailable as error:
        raise UserError(f"corpus {corpus.name}: {error}") from None
    seen: dict[tuple[str, str], str] = {}
    for split in finetuning.SPLITS:
        if not found.get(split):
            raise UserError(f"corpus {corpus.name}: the set {corpus.set} has no examples in its split {split}")
        for example in found[split]:
            before = seen.setdefault((example.question, example.answer), split)
            if before != split:
                raise UserError(f"corpus {corpus.name}: {example.question[:60]!r} is in {before} and in {split}")
    documents = {
        split: [(e.question + e.answer).encode() for e in found[split]]
        for split in finetuning.SPLITS
        if split != "test"
    }
    random.Random(ORDER_SEED).shuffle(documents["train"])
    separator = np.uint8(ByteVocabulary.separator).tobytes()
    with staging(out, 4 * sum(len(text) for texts in documents.values() for text in texts) + 1_000_000) as folder:
        splits = {}
        for split, texts in documents.items():
            (folder / f"{split}.bin").write_bytes(b"".join(text + separator for text in texts))
            lengths = np.array([len(text) + 1 for text in texts], np.int64)
            np.save(folder / f"{split}.offsets.npy", np.cumsum(lengths) - lengths)
            size = int(lengths.sum())
            splits[split] = {"documents": len(texts), "bytes": size - len(texts), "tokens": size}
        for split in finetuning.SPLITS:
            finetuning.write(folder, split, found[split])
        manifest = {
            "format": 1,
            "corpus": json.loads(corpus.to_json()),
            "set_version": made.VERSION,
            "vocabulary": ByteVocabulary().describe(),
            "splits": splits,
            "examples": {split: len(found[split]) for split in finetuning.SPLITS},
        }
        write_manifest(folder, manifest)
    return manifest

"""Train byte-level BPE on the training split and encode both splits. Run by `python -m mtp.prepare tokens`.

The same bytes give the same tokenizer file: training counts words and merges by count, ties by id.
"""

import importlib.metadata
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mtp import finetuning
from mtp.data.storage import MANIFEST, need_split, read_manifest, sha256_of, staging, verify, write_manifest
from mtp.data.stories import names_file
from mtp.data.vocabulary import DOCUMENT_END, PADDING, TOKENIZER, BPEVocabulary
from mtp.errors import UserError
from mtp.progress import bar

THREADS = "2"
TRAIN_BYTES = 30_000_000
"""Merges are learnt on the first so many bytes of the training split, whose order is random: more bytes would cost
time and memory for next to no gain in bytes per token."""
BATCH_BYTES = 2_000_000
SMALLEST = 256 + 2
SPLITS = ("train", "valid")
ENCODED = frozenset(f"{split}{end}" for split in SPLITS for end in (".bin", ".offsets.npy"))
"""Files of a token folder that follow from its vocabulary and the byte folder."""


def documents(folder: Path, split: str, limit: int | None = None) -> Iterator[str]:
    """Documents of a byte-level folder in stored order, until `limit` bytes have been passed."""
    data = np.memmap(folder / f"{split}.bin", np.uint8, "r")
    starts = np.load(folder / f"{split}.offsets.npy")
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        if limit is not None and start >= limit:
            return
        yield data[start : end - 1].tobytes().decode()


def train_bpe(texts: Iterator[str], vocab_size: int, path: Path) -> None:
    """Train and write a `tokenizer.json` with exactly `vocab_size` entries.

    Raises:
        UserError: size below 258 or above 65,536, or too little text for so many entries.
    """
    check_size(vocab_size)
    os.environ.setdefault("RAYON_NUM_THREADS", THREADS)  # read once, when the library starts its threads
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[DOCUMENT_END, PADDING],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if tokenizer.get_vocab_size() != vocab_size:
        raise UserError(
            f"vocab-size: this corpus gives only {tokenizer.get_vocab_size()} entries, not {vocab_size}; ask for fewer"
        )
    tokenizer.save(str(path), pretty=False)


def check_size(vocab_size: int) -> None:
    """
    Raises:
        UserError: the size does not fit 16 bits or is too small for all bytes and the special tokens.
    """
    if not SMALLEST <= vocab_size <= 65536:
        raise UserError(f"vocab-size: must be {SMALLEST} to 65536 (ids are stored in 16 bits), got {vocab_size}")


def tokenize(bytes_folder: Path, vocab_size: int, out: Path, lender: Path | None = None) -> dict[str, Any]:
    """Prepare the token folder `out` from a byte-level folder and return its manifest.

    `lender`: a token folder whose vocabulary is used, as finetuning needs it; default: one is trained on this text.

    Raises:
        UserError: a bad size, a damaged source folder, a lender of another size or a full disk.
    """
    check_size(vocab_size)
    source = verify(bytes_folder)
    if source["vocabulary"]["name"] != "bytes":
        raise UserError(f"{bytes_folder}: holds {source['vocabulary']['name']} tokens; pass the byte-level folder")
    need_split(bytes_folder, source, "train")
    total = sum(split["tokens"] for split in source["splits"].values())
    # At worst every byte is a token of 2 bytes.
    with staging(out, 2 * total + 10_000_000) as folder:
        trained_on = {"tokenizer_trained_on_bytes": min(TRAIN_BYTES, source["splits"]["train"]["tokens"])}
        if lender:
            shutil.copy(lender / TOKENIZER, folder / TOKENIZER)
            trained_on = {"tokenizer_from": verify(lender)["corpus"]["name"]}
        else:
            print(f"Training BPE with {vocab_size} entries on up to {TRAIN_BYTES / 1e6:.0f} MB", flush=True)
            train_bpe(documents(bytes_folder, "train", TRAIN_BYTES), vocab_size, folder / TOKENIZER)
        vocabulary = BPEVocabulary(folder / TOKENIZER)
        if vocabulary.size != vocab_size:
            raise UserError(f"--tokenizer: {lender}: holds {vocabulary.size} entries, not {vocab_size}")
        splits = {split: _encode(bytes_folder, split, vocabulary, folder) for split in SPLITS}
        for beside in (*map(names_file, splits), *map(finetuning.file_of, finetuning.SPLITS)):
            if (bytes_folder / beside).exists():
                shutil.copy(bytes_folder / beside, folder / beside)
        manifest = {
            "format": 1,
            "corpus": source["corpus"],
            "source_manifest_sha256": sha256_of(bytes_folder / MANIFEST),
            "vocabulary": vocabulary.describe(),
            "tokenizer_sha256": sha256_of(folder / TOKENIZER),
            **trained_on,
            "splits": splits,
            "bytes_per_token": {name: round(s["bytes"] / s["tokens"], 4) for name, s in splits.items()},
            "versions": {"tokenizers": importlib.metadata.version("tokenizers")},
        }
        if "parts" in source:
            manifest["parts"] = source["parts"]
        write_manifest(folder, manifest)
    return manifest


def lacks(folder: Path) -> bool:
    """Whether a token folder has come without what can be encoded again."""
    return not all((folder / name).exists() for name in ENCODED)


def encode_again(bytes_folder: Path, folder: Path) -> None:
    """Make the files of a token folder that came with manifest and vocabulary only.

    Raises:
        UserError: what comes out is not what the manifest states, so that a run would train on other tokens.
    """
    os.environ.setdefault("RAYON_NUM_THREADS", THREADS)
    stated = read_manifest(folder)["files"]
    vocabulary = BPEVocabulary(folder / TOKENIZER)
    made = folder / f".again-{os.getpid()}"
    made.mkdir()
    try:
        for split in SPLITS:
            _encode(bytes_folder, split, vocabulary, made)
        for name in sorted(ENCODED):
            if sha256_of(made / name) != stated[name]["sha256"]:
                version = importlib.metadata.version("tokenizers")
                raise UserError(
                    f"{folder / name}: tokenizers {version} encodes the text in another way; install the"
                    f" version of {folder / MANIFEST}"
                )
            (made / name).replace(folder / name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _encode(source: Path, split: str, vocabulary: BPEVocabulary, folder: Path) -> dict[str, int]:
    """Write one split: ids of each document followed by the separator, and where each document starts."""
    lengths: list[int] = []
    text_bytes = 0
    separator = np.array([vocabulary.separator], vocabulary.dtype)
    count = len(np.load(source / f"{split}.offsets.npy"))
    with (folder / f"{split}.bin").open("wb") as file, bar(desc=f"encode {split}", total=count, unit="doc") as progress:
        for batch in _batches(documents(source, split)):
            for encoding in vocabulary.tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                ids = np.array(encoding.ids, vocabulary.dtype)
                lengths.append(len(ids) + 1)
                text_bytes += int(vocabulary.byte_lengths[ids].sum())
                file.write(ids.tobytes() + separator.tobytes())
            progress.update(len(batch))
    array = np.array(lengths, np.int64)
    np.save(folder / f"{split}.offsets.npy", np.cumsum(array) - array)
    return {"documents": len(lengths), "bytes": text_bytes, "tokens": int(array.sum())}


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    """Lists of documents of about BATCH_BYTES each."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

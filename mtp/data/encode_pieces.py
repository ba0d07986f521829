"""Encode a byte-level folder with a SentencePiece model of yours, as the vocabulary of a model that others trained.

    python -m mtp.data.encode_pieces --bytes-dir results/data/code_small/bytes --model tokenizer.model \\
        --out results/data/code_small/sp32000
"""

import argparse
import importlib.metadata
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mtp.data.pieces import SentencePieceVocabulary
from mtp.data.storage import MANIFEST, sha256_of, staging, verify, write_manifest
from mtp.data.tokenizer import documents
from mtp.data.vocabulary import PIECES, Vocabulary
from mtp.errors import UserError
from mtp.progress import bar


def prepare(bytes_folder: Path, model: Path, out: Path) -> dict[str, Any]:
    """Prepare the folder `out` of pieces from a byte-level folder and return its manifest.

    Raises:
        UserError: a damaged source folder, a vocabulary that cannot be read, or a full disk.
    """
    source = verify(bytes_folder)
    if source["vocabulary"]["name"] != "bytes":
        raise UserError(f"{bytes_folder}: holds {source['vocabulary']['name']} tokens; pass the byte-level folder")
    vocabulary = SentencePieceVocabulary(model)
    total = sum(split["tokens"] for split in source["splits"].values())
    with staging(out, 2 * total + 10_000_000) as folder:  # at worst every byte is a piece of 2 bytes
        shutil.copy(model, folder / PIECES)
        splits = {split: _encode(bytes_folder, split, vocabulary, folder) for split in source["splits"]}
        manifest = {
            "format": 1,
            "corpus": source["corpus"],
            "source_manifest_sha256": sha256_of(bytes_folder / MANIFEST),
            "vocabulary": vocabulary.describe(),
            "tokenizer_sha256": sha256_of(folder / PIECES),
            "splits": splits,
            "bytes_per_token": {name: round(s["bytes"] / s["tokens"], 4) for name, s in splits.items()},
            "versions": {"sentencepiece": importlib.metadata.version("sentencepiece")},
        }
        write_manifest(folder, manifest)
    return manifest


def _encode(source: Path, split: str, vocabulary: Vocabulary, folder: Path) -> dict[str, int]:
    """Write one split: ids of each document followed by the end, and where each document starts."""
    starts, end, text_bytes = [0], np.array([vocabulary.separator]), 0
    count = len(np.load(source / f"{split}.offsets.npy"))
    with (folder / f"{split}.bin").open("wb") as file, bar(desc=f"encode {split}", total=count, unit="doc") as progress:
        for text in documents(source, split):
            ids = np.concatenate([vocabulary.encode(text), end])
            text_bytes += int(vocabulary.byte_lengths[ids].sum())
            starts.append(starts[-1] + len(ids))
            file.write(ids.astype(vocabulary.dtype).tobytes())
            progress.update()
    np.save(folder / f"{split}.offsets.npy", np.array(starts[:-1], np.int64))
    return {"documents": len(starts) - 1, "bytes": text_bytes, "tokens": starts[-1]}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.data.encode_pieces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--bytes-dir", required=True, type=Path, help="what `python -m mtp.prepare corpus` wrote")
    parser.add_argument("--model", required=True, type=Path, help="the SentencePiece model, such as tokenizer.model")
    parser.add_argument("--out", required=True, type=Path, help="folder for train.bin, valid.bin and manifest.json")
    args = parser.parse_args(argv)
    try:
        manifest = prepare(args.bytes_dir, args.model, args.out)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{args.out}: {manifest['vocabulary']['name']}, bytes per piece: {manifest['bytes_per_token']}")


if __name__ == "__main__":
    main()

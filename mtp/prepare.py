"""Prepare data: a corpus to bytes, bytes to tokens, and what the text costs without a neural network.

    python -m mtp.prepare corpus --corpus code_small --out results/data/code_small/bytes
    python -m mtp.prepare tokens --bytes-dir results/data/code_small/bytes --vocab-size 2048 \\
        --out results/data/code_small/bpe2048
    python -m mtp.prepare baselines --bytes-dir results/data/code_small/bytes \\
        --out results/data/code_small/baselines.json
    python -m mtp.prepare show results/data/code_small/bytes

A corpus is a YAML file in experiments/corpora. Your own texts are a corpus in three lines:

    kind: folder
    path: ~/my/texts
    pattern: "**/*.txt"
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from mtp.errors import UserError


def summary(folder: Path) -> str:
    """A prepared folder's manifest in readable lines, with the start of a document."""
    import numpy as np

    from mtp.data.storage import verify
    from mtp.data.vocabulary import Vocabulary

    manifest = verify(folder)
    vocabulary = Vocabulary.load(folder)
    corpus = manifest["corpus"]
    lines = [f"{folder}: corpus {corpus['name']} ({corpus['kind']}), {vocabulary.name}, {vocabulary.size} entries"]
    for name, split in manifest["splits"].items():
        per_token = split["bytes"] / max(1, split["tokens"])
        lines.append(
            f"  {name:<6} {split['documents']:>7,} documents {split['bytes']:>13,} bytes of text"
            f" {split['tokens']:>13,} tokens ({per_token:.3f} bytes per token)"
        )
    for reason, count in sorted(manifest.get("counts", {}).items(), key=lambda item: -item[1]["bytes"]):
        lines.append(f"  {reason:<16} {count['documents']:>7,} documents {count['bytes']:>13,} bytes")
    for package, count in manifest.get("packages", {}).items():
        kept = count.get("kept", {"documents": 0, "bytes": 0})
        lines.append(f"  of {package:<24} {kept['documents']:>6,} documents {kept['bytes']:>12,} bytes kept")
    for benchmark, note in manifest.get("decontamination", {}).items():
        lines.append(f"  {benchmark}: {note}")
    split = "train" if "train" in manifest["splits"] else "valid"
    data = np.memmap(folder / f"{split}.bin", vocabulary.dtype, "r")
    starts = np.load(folder / f"{split}.offsets.npy")
    start = int(starts[len(starts) // 2])
    end = int([*starts, len(data)][len(starts) // 2 + 1])
    text = vocabulary.decode(data[start : min(end, start + 400)])[:400].decode(errors="replace")
    lines += [
        f"  a {'training' if split == 'train' else 'held-out'} document starts:",
        *(f"    | {line}" for line in text.splitlines()[:12]),
    ]
    return "\n".join(lines)


def _corpus(args: argparse.Namespace) -> Any:
    from mtp.data import build, examples, questions
    from mtp.data.corpora import Corpus, Finetuning, Synthetic, load_corpus

    corpus = Corpus.from_json(args.corpus) if args.corpus.lstrip().startswith("{") else load_corpus(args.corpus)
    if isinstance(corpus, Synthetic):
        examples.build(corpus, args.out)
    elif isinstance(corpus, Finetuning):
        questions.build(corpus, args.out)
    else:
        build.build(corpus, args.out, args.cache)


def _tokens(args: argparse.Namespace) -> None:
    from mtp.data.tokenizer import tokenize

    tokenize(args.bytes_dir, args.vocab_size, args.out, args.tokenizer)


def _baselines(args: argparse.Namespace) -> None:
    from mtp.data.baselines import baselines

    result = baselines(args.bytes_dir, args.out)
    last = result["5-gram"][-1]
    print(
        f"bits per byte: gzip -9 {result['gzip -9']:.3f}, xz -9 {result['xz -9']:.3f},"
        f" 5-gram {last['bits_per_byte']:.3f} ({last['train_bytes'] / 1e6:.1f} MB of training text)"
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(
        prog="python -m mtp.prepare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main_parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, **options: Any) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            **options,
        )

    one = command("corpus", "fetch, filter, deduplicate and decontaminate a corpus; write it as bytes")
    one.add_argument("--corpus", required=True, help="name of a file in experiments/corpora, or its canonical JSON")
    one.add_argument("--out", type=Path, required=True, help="folder for train.bin, valid.bin and manifest.json")
    one.add_argument("--cache", type=Path, default=Path("results/data/wheels"), help="folder that keeps the wheels")
    one.set_defaults(run=_corpus)

    one = command("tokens", "train byte-level BPE on the training split and encode both splits")
    one.add_argument("--bytes-dir", type=Path, required=True, help="what `corpus` wrote")
    one.add_argument("--vocab-size", type=int, required=True, help="entries of the vocabulary, 258 to 65536")
    one.add_argument("--out", type=Path, required=True, help="folder for train.bin, valid.bin and tokenizer.json")
    one.add_argument("--tokenizer", type=Path, help="prepared folder whose vocabulary is used; default: train one")
    one.set_defaults(run=_tokens)

    one = command("baselines", "bits per byte of gzip, xz and a byte 5-gram model on the held-out text")
    one.add_argument("--bytes-dir", type=Path, required=True, help="what `corpus` wrote")
    one.add_argument("--out", type=Path, required=True, help="JSON file to write")
    one.set_defaults(run=_baselines)

    one = command("show", "print what a prepared folder holds")
    one.add_argument("folder", type=Path, help="a folder written by `corpus` or `tokens`")
    return main_parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0, or 2 after an error that the user can mend."""
    args = parser().parse_args(argv)
    begin = time.monotonic()
    try:
        if args.command == "show":
            print(summary(args.folder))
            return 0
        args.run(args)
        if args.command != "baselines":
            print(summary(args.out))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.command}: {time.monotonic() - begin:.1f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

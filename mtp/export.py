"""Write a run for other programs: Hugging Face's Llama, all heads with a list of what is what, or Meta's format.

    python -m mtp.export --run results/cpu/runs/RUN --data results/data/code_small/bpe2048 --out llama
    python -m mtp.export --run RUN --data DATA --out all --layout heads
    python -m mtp.export --run RUN --data DATA --out meta --layout released

huggingface   trunk and head 1 as a LlamaForCausalLM, with its tokenizer: what every runtime loads
heads         every head: a folder that `mtp.runs.load_run` reads, and heads.json, which says what the weights are
released      params.json and consolidated.pth, as Meta released the paper's 7B models (parallel heads)

docs/checkpoints.md describes the three. Weights keep the type that they are stored in, and are written one by one.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from mtp import released
from mtp.atomic import write_text
from mtp.config import RunConfig
from mtp.data.pieces import BEGIN, END, SPACE, UNKNOWN, SentencePieceVocabulary
from mtp.data.vocabulary import (
    DOCUMENT_END,
    PADDING,
    PIECES,
    TOKENIZER,
    BPEVocabulary,
    ByteVocabulary,
    Vocabulary,
    byte_characters,
)
from mtp.errors import UserError
from mtp.model import Model
from mtp.record import RECORD, WEIGHTS, load_config
from mtp.weights import PARTS, Stored, next_token_blocks, on_meta, split, write_safetensors

NAMES = {
    "attention_norm": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "w1": "mlp.gate_proj", "w3": "mlp.up_proj",
    "w2": "mlp.down_proj",
}  # fmt: skip
"""Llama's names of a block's matrices -> those of Hugging Face."""


# ---- Hugging Face -----------------------------------------------------------------------------------------------


def llama_sources(model: Model) -> dict[str, tuple[str, ...]]:
    """Weight of ours -> the LlamaForCausalLM keys that it holds, on top of each other; trunk and head 1 only.

    Raises:
        UserError: head 1 is no stack of Llama blocks.
    """
    found: dict[str, tuple[str, ...]] = {"embedding.weight": ("model.embed_tokens.weight",)}
    for i, block in enumerate(next_token_blocks(model)):
        for part, names in PARTS.items():
            found[f"{block}.{part}"] = tuple(f"model.layers.{i}.{NAMES[name]}.weight" for name in names)
    return found | {"norm.weight": ("model.norm.weight",), "unembeddings.0.weight": ("lm_head.weight",)}


def llama_tensors(model: Model, tensors: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The LlamaForCausalLM weights of trunk and head 1, one by one.

    Both turn feature k of a head together with feature k + K/2, so that queries and keys stay as they are.
    """
    for name, parts in llama_sources(model).items():
        yield from split(tensors, name, parts)


def llama_config(model: Model, dtype: str) -> dict[str, Any]:
    """config.json without ids; both spellings of the rotary base, since transformers changed it with version 5."""
    config = model.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": len(next_token_blocks(model)),
        "num_attention_heads": config.attention_heads,
        "num_key_value_heads": config.attention_heads,
        "head_dim": config.dim // config.attention_heads,
        "hidden_act": "silu",
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "use_cache": True,
        "torch_dtype": dtype,
    }


def special(vocabulary: Vocabulary) -> dict[str, int]:
    """Ids that config.json and generation_config.json name. What begins a document also ends the one before it."""
    begin = int(vocabulary.begin("")[0]) if len(vocabulary.begin("")) else vocabulary.separator
    return {"bos_token_id": begin, "eos_token_id": vocabulary.separator, "pad_token_id": vocabulary.pad}


def write_llama(model: Model, vocabulary: Vocabulary, stored: Stored, out: Path) -> None:
    """A folder for `LlamaForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained`.

    Raises:
        UserError: head 1 is no stack of Llama blocks, or the disk is full.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in llama_tensors(model, model.state_dict().__getitem__)}
    write_safetensors(out / WEIGHTS, shapes, llama_tensors(model, stored))
    dtype = str(stored("norm.weight").dtype).removeprefix("torch.")
    generation = {**special(vocabulary), "do_sample": False, "max_length": model.config.context}
    _write_json(out / "config.json", llama_config(model, dtype) | special(vocabulary))
    _write_json(out / "generation_config.json", generation)
    write_tokenizer(vocabulary, out, model.config.context)


def write_tokenizer(vocabulary: Vocabulary, out: Path, context: int) -> None:
    """Files for `AutoTokenizer`. Text that spells a special token is encoded as text, as in training."""
    names = {"bos_token": DOCUMENT_END, "eos_token": DOCUMENT_END, "pad_token": PADDING}
    if isinstance(vocabulary, ByteVocabulary):
        text = bytes_tokenizer()
    elif isinstance(vocabulary, SentencePieceVocabulary):
        text = pieces_tokenizer(vocabulary)
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
        (out / PIECES).write_bytes(vocabulary.path.read_bytes())
    else:
        assert isinstance(vocabulary, BPEVocabulary)
        text = vocabulary.path.read_text()
    write_text(out / TOKENIZER, text)
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }
    _write_json(out / "tokenizer_config.json", told | names)
    _write_json(out / "special_tokens_map.json", names)


def bytes_tokenizer() -> str:
    """A tokenizer.json whose ids are the bytes: byte-level BPE without a merge, in the order of the bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    names = {ByteVocabulary.separator: DOCUMENT_END, ByteVocabulary.pad: PADDING}
    entries = {names.get(byte, character): byte for byte, character in enumerate(byte_characters())}
    tokenizer = Tokenizer(models.BPE(entries, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(names[byte], normalized=False) for byte in sorted(names)])
    return str(tokenizer.to_str(pretty=False))


def pieces_tokenizer(vocabulary: SentencePieceVocabulary) -> str:
    """A tokenizer.json that does what a SentencePiece model of pair merges does with the beginning of a text.

    Merges are not in the model: they are all the ways to join two pieces to a third, the likelier piece first.

    Raises:
        UserError: it is no model of pair merges, told by other ids for a text of all its pieces.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    model = vocabulary.model
    entries = {model.id_to_piece(i): i for i in range(vocabulary.size)}
    merges = [
        (model.get_score(i), piece[:cut], piece[cut:])
        for piece, i in entries.items()
        if vocabulary.pieces[i] and not model.is_byte(i)
        for cut in range(1, len(piece))
        if piece[:cut] in entries and piece[cut:] in entries
    ]
    merges.sort(key=lambda merge: (-merge[0], entries[merge[1]], entries[merge[2]]))
    tokenizer = Tokenizer(
        models.BPE(entries, [merge[1:] for merge in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    parts = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    special = [model.id_to_piece(i) for i in (UNKNOWN, BEGIN, END)]
    tokenizer.add_special_tokens([AddedToken(piece, normalized=False) for piece in special])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[BEGIN]} $A", special_tokens=[(special[BEGIN], BEGIN)]
    )
    tried = b"".join(vocabulary.pieces).decode(errors="ignore")
    if tokenizer.encode(tried).ids != vocabulary.begin(tried).tolist():
        raise UserError(f"{vocabulary.path}: no model of pair merges, so that it cannot be written as {TOKENIZER}")
    return str(tokenizer.to_str(pretty=False))


# ---- all heads --------------------------------------------------------------------------------------------------


def head_list(model: Model) -> dict[str, Any]:
    """What the weights are, for a program that knows Llama blocks but not this project (docs/checkpoints.md)."""
    config = model.config
    keys = {name: list(weight.shape) for name, weight in model.named_parameters()}

    def of(branch: int) -> list[str]:
        """Prefixes of a branch's weights; a DeepSeek head's join stands before its block."""
        found = (f"heads.joins.{branch - 1}", f"heads.blocks.{branch}", f"heads.matrices.{branch}")
        return [prefix for prefix in found if any(name.startswith(f"{prefix}.") for name in keys)]

    branches = [
        {"source": "trunk" if branch.source is None else branch.source, "layers": of(i)}
        for i, branch in enumerate(model.branches)
    ]
    predictions = [
        {
            "tokens_ahead": head + 1,
            "branches": list(model.path(head)),
            "norm": "norm.weight",
            "unembedding": f"unembeddings.{head if config.unembeddings > 1 else 0}.weight",
        }
        for head in range(config.n_future)
    ]
    return {
        "format": 1,
        "heads": config.heads,
        "n_future": config.n_future,
        "dim": config.dim,
        "ffn_dim": config.ffn_dim,
        "attention_heads": config.attention_heads,
        "rope_theta": config.rope_theta,
        "rope": "feature k turns together with feature k + K/2",
        "norm_eps": config.norm_eps,
        "vocabulary": {"name": config.vocabulary, "separator": config.separator, "pad": config.pad},
        "embedding": "embedding.weight",
        "trunk": {"kind": config.trunk, "layers": [f"trunk.{i}" for i in range(config.trunk_layers)]},
        "branches": branches,
        "predictions": predictions,
        "block": {part: list(names) for part, names in PARTS.items()},
        "keys": keys,
    }


def write_heads(model: Model, vocabulary: Vocabulary, stored: Stored, run: Path, out: Path) -> None:
    """A folder that is a run, with heads.json and the tokenizer beside it."""
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    write_safetensors(out / WEIGHTS, shapes, ((name, stored(name)) for name in shapes))
    write_text(out / RECORD, (run / RECORD).read_text())
    _write_json(out / "heads.json", head_list(model))
    write_tokenizer(vocabulary, out, model.config.context)


# ---- command ----------------------------------------------------------------------------------------------------


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=1) + "\n")


def vocabulary_of(config: RunConfig, data: Path | None) -> Vocabulary:
    """The vocabulary of a run, from its prepared folder; bytes need none.

    Raises:
        UserError: there is no folder, or it holds other tokens.
    """
    if data is None:
        if config.vocabulary != "bytes":
            raise UserError(f"--data: missing; it holds the tokenizer of {config.vocabulary}")
        return ByteVocabulary()
    vocabulary = Vocabulary.load(data)
    if vocabulary.name != config.vocabulary:
        raise UserError(f"--data: {data}: holds {vocabulary.name} tokens, but the run reads {config.vocabulary}")
    return vocabulary


def export(run: Path, data: Path | None, out: Path, layout: str = "huggingface") -> None:
    """Write a run in one of the three layouts.

    Raises:
        UserError: no such run, a layout that has no place for it, or a full disk.
    """
    config = load_config(run)
    model = on_meta(config)
    stored = Stored(run, {name: tuple(weight.shape) for name, weight in model.named_parameters()})
    if out.resolve() == run.resolve():
        raise UserError(f"--out: {out}: is the run itself")
    if layout == "released":
        released.write(model, stored, out)
        return
    vocabulary = vocabulary_of(config, data)
    if layout == "heads":
        write_heads(model, vocabulary, stored, run, out)
    else:
        write_llama(model, vocabulary, stored, out)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--data", type=Path, help="prepared folder with the run's vocabulary; bytes need none")
    parser.add_argument("--out", required=True, type=Path, help="folder to write")
    parser.add_argument("--layout", choices=("huggingface", "heads", "released"), default="huggingface")
    args = parser.parse_args(argv)
    try:
        export(args.run, args.data, args.out, args.layout)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{args.out}: {', '.join(sorted(path.name for path in args.out.iterdir()))}")


if __name__ == "__main__":
    main()

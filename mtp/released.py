"""Meta's released checkpoints as runs, and runs in their format.

    python -m mtp.released --checkpoint weights/7B_200B_4 --out results/paper/runs/7B_200B_4
    python -m mtp.released --checkpoint FOLDER --config CONFIG --out RUN    # of other models than these four
    python -m mtp.released --checkpoint weights/7B_200B_4 --check           # compare keys and shapes, write nothing

FOLDER holds params.json and consolidated.pth (facebook/multi-token-prediction on the hub, by request; the licence is
for research). Both are checked against each other and against the run before anything is written: keys, shapes,
counts. Tensors are read and written one by one, in the type that they are stored in.

Of the format's `layers` the last is the head of the next token, those before it are the trunk; `extra_heads.j` is the
head of the token j + 2 places ahead, on the trunk too. One norm and one output matrix serve all heads. Queries and keys
turn features 2k and 2k + 1 together, ours k and k + K/2: their rows are sorted anew. docs/checkpoints.md has the rest.
"""

import argparse
import json
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtp import provenance
from mtp.atomic import replacing, write_text
from mtp.config import RunConfig
from mtp.data.storage import sha256_of
from mtp.errors import UserError
from mtp.imported import ENVIRONMENT, folder_of
from mtp.model import Model
from mtp.record import RECORD, WEIGHTS, load_config
from mtp.weights import DTYPES, PARTS, Stored, check_shapes, on_meta, split, write_safetensors

PARAMS, CONSOLIDATED = "params.json", "consolidated.pth"
NAMES = {
    **{name: f"attention.{name}" for name in ("wq", "wk", "wv", "wo")},
    **{name: f"feed_forward.{name}" for name in ("w1", "w2", "w3")},
    "attention_norm": "attention_norm",
    "ffn_norm": "ffn_norm",
}
"""Llama's names of a block's matrices -> where the format has them."""
BUFFERS = ("rope.freqs", "freqs_cis", "freqs_cos", "freqs_sin")
"""Tables that a file may hold beside the weights; they follow from params.json."""
NEEDED = ("dim", "n_layers", "n_heads", "vocab_size")
DEFAULTS: dict[str, Any] = {
    "n_kv_heads": None, "multiple_of": 256, "ffn_dim_multiplier": None, "norm_eps": 1e-5, "rope_theta": 10000.0,
    "n_future_tokens": 1, "max_seq_len": None, "max_batch_size": None,
}  # fmt: skip
"""Keys that params.json may lack, and what they are then. The last two only size caches."""
RECIPES: dict[str, dict[str, Any]] = {
    "200B": {"batch_size": 2048, "steps": 25000},
    "1T": {"batch_size": 1792, "steps": 136240},
}
"""Training of the paper's 7B models (Table S13), by the word in their folder's name: 7B_<tokens>_<n>."""
CORPUS = "hub_code"
"""What stands for the paper's code, of which no more than the size is known."""


# ---- names ------------------------------------------------------------------------------------------------------


def sources(model: Model) -> dict[str, tuple[str, ...]]:
    """Weight of ours -> the tensors of the format that it holds, on top of each other.

    Raises:
        UserError: the model is not the paper's: a trunk of Llama blocks and parallel heads.
    """
    config = model.config
    plain = config.canonical()
    if config.trunk != "transformer" or plain.heads != "parallel":
        raise UserError(f"heads: {plain.heads} on trunk: {config.trunk}: the released format has parallel blocks only")
    blocks = {f"trunk.{i}": f"layers.{i}" for i in range(len(model.trunk))}
    if config.layout.layers_per_head:  # without, a layout that is plain at n = 1 counts its last layer as trunk
        blocks["heads.blocks.0"] = f"layers.{len(model.trunk)}"
        blocks |= {f"heads.blocks.{i}": f"extra_heads.{i - 1}" for i in range(1, config.n_future)}
    elif config.heads == "linear":
        raise UserError("heads: linear: the released format has no place for their matrices")
    found: dict[str, tuple[str, ...]] = {
        "embedding.weight": ("tok_embeddings.weight",),
        "norm.weight": ("norm.weight",),
        "unembeddings.0.weight": ("output.weight",),
    }
    for ours, theirs in blocks.items():
        for part, names in PARTS.items():
            found[f"{ours}.{part}"] = tuple(f"{theirs}.{NAMES[name]}.weight" for name in names)
    return found


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Shapes of the format's tensors."""
    return {name: tuple(part.shape) for name, part in tensors_of(model, model.state_dict().__getitem__)}


def turned(name: str) -> bool:
    """Whether rotary embedding turns what this tensor of the format gives."""
    return name.endswith((".wq.weight", ".wk.weight"))


def halves(weight_DD: Tensor, heads: int) -> Tensor:
    """Rows of neighbours that turn together -> first features of all pairs, then second ones, head by head."""
    return weight_DD.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def neighbours(weight_DD: Tensor, heads: int) -> Tensor:
    """The inverse of `halves`."""
    return weight_DD.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


# ---- params.json ------------------------------------------------------------------------------------------------


def read_params(folder: Path) -> dict[str, Any]:
    """params.json with its defaults.

    Raises:
        UserError: missing, not JSON, lacks a key, or has one that would change the model in a way unknown here.
    """
    path = folder / PARAMS
    try:
        told = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; a checkpoint's folder holds {PARAMS} and {CONSOLIDATED}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(told, dict):
        raise UserError(f"{path}: expected an object with dim, n_layers, n_heads, ...")
    for key in NEEDED:
        if key not in told:
            raise UserError(f"{path}: missing key {key}")
    for key, value in told.items():
        if key not in (*NEEDED, *DEFAULTS) and value not in (None, False):
            raise UserError(f"{path}: unexpected key {key}: {value!r}; it may change the model")
        if key in NEEDED and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(f"{path}: {key}: expected a positive whole number, got {value!r}")
    return DEFAULTS | told


def hidden_of(params: Mapping[str, Any]) -> int:
    """Width of SwiGLU as Llama computes it."""
    exact = 2 * 4 * params["dim"] // 3
    if params["ffn_dim_multiplier"] is not None:
        exact = int(params["ffn_dim_multiplier"] * exact)
    return -(-exact // params["multiple_of"]) * params["multiple_of"]


def config_of(folder: Path, params: Mapping[str, Any]) -> RunConfig:
    """The run that one of Meta's four folders is, with the paper's recipe.

    Raises:
        UserError: the folder is none of them, so that nobody knows how it was trained.
    """
    words = folder.resolve().name.split("_")
    recipe = next((RECIPES[word] for word in words if word in RECIPES), None)
    if recipe is None:
        known = ", ".join(f"7B_{tokens}_<n>" for tokens in RECIPES)
        raise UserError(f"--config: missing; {folder} is none of {known}, so say what it was trained on, and how long")
    return RunConfig.from_dict(
        {
            "corpus": CORPUS,
            "vocabulary": f"sp{params['vocab_size']}",
            "dim": params["dim"],
            "layers": params["n_layers"],
            "attention_heads": params["n_heads"],
            "n_future": params["n_future_tokens"],
            "norm_eps": params["norm_eps"],
            "rope_theta": params["rope_theta"],
            "context": 4096,
            "warmup_steps": 2000,
            "peak_lr": 3e-4,
            "precision": "bfloat16",
            "checkpoint": folder.resolve().name,
            **recipe,
        }
    ).canonical()


def check_params(path: Path, params: Mapping[str, Any], config: RunConfig) -> None:
    """
    Raises:
        UserError: params.json does not tell the run's model; names the key.
    """
    wanted = params_of(config)
    told = {**params, "n_kv_heads": params["n_kv_heads"] or params["n_heads"]}
    for key in (*NEEDED, "n_kv_heads", "n_future_tokens", "norm_eps", "rope_theta"):
        if told[key] != wanted[key]:
            raise UserError(f"{path}: {key}: {told[key]}, but the run {config.name()} has {wanted[key]}")
    if (hidden := hidden_of(params)) != config.ffn_dim:
        keys = f"multiple_of: {params['multiple_of']}, ffn_dim_multiplier: {params['ffn_dim_multiplier']}"
        raise UserError(f"{path}: {keys}: give a hidden width of {hidden}, but the run has {config.ffn_dim}")


def params_of(config: RunConfig) -> dict[str, Any]:
    """params.json of a run."""
    return {
        "dim": config.dim,
        "n_layers": config.all_layers,
        "n_heads": config.attention_heads,
        "n_kv_heads": config.attention_heads,
        "vocab_size": config.vocab_size,
        "multiple_of": config.ffn_multiple,
        "ffn_dim_multiplier": None,
        "norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "n_future_tokens": config.n_future,
    }


# ---- in ---------------------------------------------------------------------------------------------------------


def open_consolidated(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, mapped: they are read when they are used.

    Raises:
        UserError: the file is missing, cannot be read, or holds something else than tensors of one type.
    """
    try:
        found = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a checkpoint's folder holds {PARAMS} and {CONSOLIDATED}") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}); is it whole?") from None
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise UserError(f"{path}: does not hold tensors by name")
    found = {name: tensor for name, tensor in found.items() if name.rpartition("extra_heads.")[2] not in BUFFERS}
    types = {tensor.dtype for tensor in found.values()}
    if len(types) != 1 or not types <= DTYPES.keys():
        names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types)) or "nothing"
        raise UserError(f"{path}: holds {names}; weights of one type are needed, of float32, float16 or bfloat16")
    return found


def weights_of(model: Model, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Our weights from the format's tensors, one by one, in the order of the model."""
    names, heads = sources(model), model.config.attention_heads
    for ours, _ in model.named_parameters():
        parts = [halves(tensors[name], heads) if turned(name) else tensors[name] for name in names[ours]]
        yield ours, parts[0] if len(parts) == 1 else torch.cat(parts)


def read(folder: Path, config: RunConfig | None = None) -> tuple[RunConfig, Model, dict[str, Tensor]]:
    """A checkpoint that has been checked: its run, the model on the meta device, the tensors on disk.

    Raises:
        UserError: what does not fit, in one line.
    """
    params = read_params(folder)
    config = config or config_of(folder, params)
    check_params(folder / PARAMS, params, config)
    model = on_meta(config)
    wanted = shapes(model)
    tensors = open_consolidated(folder / CONSOLIDATED)
    check_shapes(folder / CONSOLIDATED, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, wanted)
    return config, model, tensors


def load(folder: Path, out: Path, config: RunConfig | None = None, code: str = "") -> RunConfig:
    """Make a checkpoint a run; returns its configuration.

    Args:
        folder: params.json and consolidated.pth.
        out: folder of the run.
        config: the run that it is; default: one of the paper's, told by the name of the folder.
        code: fingerprint of the code; computed here if empty.

    Raises:
        UserError: what does not fit, in one line, before anything is written; or the disk is full.
    """
    config, model, tensors = read(folder, config)
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    write_safetensors(out / WEIGHTS, wanted, weights_of(model, tensors))
    record = {
        "run": config.name(),
        "config": config.to_dict(),
        "parameters": config.parameters,
        "non_embedding_parameters": config.non_embedding_parameters,
        "tokens": config.tokens,
        "flops": config.flops,
        "imported": {
            "checkpoint": folder.resolve().name,
            "tensors": len(tensors),
            "type": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            "sha256": sha256_of(folder / CONSOLIDATED),
            "params": json.loads((folder / PARAMS).read_text()),
        },
        "provenance": provenance.describe(code=code or provenance.fingerprint("mtp.released")),
    }
    write_text(out / RECORD, json.dumps(record, indent=1) + "\n")
    return config


# ---- out --------------------------------------------------------------------------------------------------------


def tensors_of(model: Model, weights: Callable[[str], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The format's tensors from our weights, one by one."""
    for ours, names in sources(model).items():
        for name, part in split(weights, ours, names):
            yield name, neighbours(part, model.config.attention_heads) if turned(name) else part


def write(model: Model, weights: Stored, out: Path) -> None:
    """params.json and consolidated.pth of a run; the second holds all weights, which are in memory while it is made.

    Raises:
        UserError: the format has no place for the run's model.
    """
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors_of(model, weights)}
    with replacing(out / CONSOLIDATED) as temporary:
        torch.save(tensors, temporary)
    write_text(out / PARAMS, json.dumps(params_of(model.config), indent=1) + "\n")


def read_config(argument: str) -> RunConfig:
    """A configuration from JSON text, or that of a run's folder.

    Raises:
        UserError: naming the source and the key.
    """
    if not argument.lstrip().startswith("{"):
        return load_config(Path(argument))
    try:
        return RunConfig.from_json(argument)
    except (json.JSONDecodeError, UserError) as error:
        raise UserError(f"--config: {error}") from None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.released", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        help=f"folder with {PARAMS} and {CONSOLIDATED}, here or in the one that {ENVIRONMENT} names",
    )
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--config", help="JSON text of a RunConfig, or the folder of a run; default: by the name")
    parser.add_argument("--check", action="store_true", help="compare keys and shapes only")
    parser.add_argument("--code", default="", help="fingerprint of the code; default: computed here")
    args = parser.parse_args(argv)
    try:
        config = read_config(args.config) if args.config else None
        folder = args.checkpoint if args.checkpoint.is_dir() else folder_of(str(args.checkpoint))
        if args.check or args.out is None:
            if not args.check:
                raise UserError("--out: missing; name the folder of the run, or ask for --check")
            found, _, tensors = read(folder, config)
            print(f"{folder}: {len(tensors)} tensors, {found.parameters:,} weights, as {found.name()} needs")
            return
        found = load(folder, args.out, config, args.code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{args.out}: {found.name()}, {found.parameters:,} weights")


if __name__ == "__main__":
    main()

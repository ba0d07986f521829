"""Weights under other names: which tensors of Llama's formats a weight of ours is made of, and files that are written
tensor by tensor, so that a model larger than the memory can be converted.

Ours keep products that are computed together in one matrix: `attention.qkv` is Llama's wq, wk and wv on top of each
other, `ffn.gate_up` is w1 and w3. Everything else is only named otherwise.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mtp.atomic import replacing
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.model import Model
from mtp.record import WEIGHTS

PARTS = {
    "attention_norm.weight": ("attention_norm",),
    "attention.qkv.weight": ("wq", "wk", "wv"),
    "attention.out.weight": ("wo",),
    "ffn_norm.weight": ("ffn_norm",),
    "ffn.gate_up.weight": ("w1", "w3"),
    "ffn.down.weight": ("w2",),
}
"""Weight of a block -> the Llama matrices that it holds, on top of each other, all of one height."""
DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
"""Types of weights, and what safetensors calls them."""


def on_meta(config: RunConfig, positions: int | None = None) -> Model:
    """The model without memory for its weights: names and shapes only. `positions` as in `Model`."""
    with torch.device("meta"):
        return Model(config, positions)


def next_token_blocks(model: Model) -> list[str]:
    """Names of the blocks from the embedding to head 1's norm, in order.

    Raises:
        UserError: something else than Llama blocks stands on that way; names the key.
    """
    config = model.config
    if not config.trunk_kind.attends:
        raise UserError(f"trunk: {config.trunk}: only a trunk of Llama blocks can be written as Llama")
    if config.layout.matrices_per_head:
        raise UserError(
            f"heads: {config.heads}: a matrix without a residual stands between the trunk and the final norm, for"
            " which Llama has no place; --layout heads keeps it"
        )
    return model.layers_to_next_token()


class Stored:
    """The weights of a run on disk, read one by one."""

    def __init__(self, run: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """
        Raises:
            UserError: no such file, or a weight is missing, unknown or of another shape.
        """
        path = run / WEIGHTS
        try:
            self._file = safe_open(path, framework="pt")
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; train the run first (python -m mtp.train)") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from None
        found = {name: tuple(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118
        check_shapes(path, found, shapes)

    def __call__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor


def check_shapes(path: Path, found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """
    Raises:
        UserError: a tensor is missing, unexpected or of another shape; counts those that are alike.
    """
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise UserError(f"{path}: missing key {missing[0]}{_more(missing)}; {len(wanted)} are needed")
    if extra:
        raise UserError(f"{path}: unexpected key {extra[0]}{_more(extra)}; {len(wanted)} are known")
    wrong = [name for name, shape in wanted.items() if found[name] != shape]
    if wrong:
        shapes = f"{list(found[wrong[0]])} instead of {list(wanted[wrong[0]])}"
        raise UserError(f"{path}: wrong shape of {wrong[0]}: {shapes}{_more(wrong)}")


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def split(tensors: Callable[[str], Tensor], name: str, parts: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """A weight as the matrices that it holds on top of each other, each with its name."""
    yield from zip(parts, tensors(name).chunk(len(parts)), strict=True)


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], tensors: Iterable[tuple[str, Tensor]]) -> None:
    """A safetensors file from tensors that come one by one, all of one type and in the order of `shapes`.

    Raises:
        UserError: the disk is full.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        left = dict(shapes)
        for name, tensor in tensors:
            if len(left) == len(shapes):
                file.write(_header(shapes, tensor.dtype))
            assert name == next(iter(left)) and tuple(tensor.shape) == left.pop(name), name
            file.write(tensor.contiguous().view(torch.uint8).numpy().data)
        assert not left, left


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    """Length and JSON of what lies where, padded to 8 bytes."""
    told: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        told[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(told).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text

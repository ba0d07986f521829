"""Weights of a finished run as the start of another, whatever happens to the heads.

The path that predicts the next token, trunk and head 1, is the same list of layers in every layout; weights go along
it. A shorter trunk loses its last layers, but not the last of the path, which knows the unembedding. Heads beyond
those of the parent start as copies of head 1 (blocks), as the identity (linear heads), or with its unembedding
(replicated): they predict what head 1 predicts until they have learnt better. The paper does not say how it adds heads.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mtp.config import RunConfig
from mtp.data.storage import sha256_of
from mtp.errors import UserError
from mtp.lineage import check
from mtp.model import Model
from mtp.record import WEIGHTS, load_config
from mtp.weights import on_meta


def digest(run: Path) -> str:
    """SHA-256 of a run's weights, in hexadecimal digits.

    Raises:
        UserError: the run has no weights.
    """
    try:
        return sha256_of(run / WEIGHTS)
    except OSError as error:
        raise UserError(f"--start: {run / WEIGHTS}: {error.strerror}; train that run first") from None


def parent_of(config: RunConfig, run: Path | None) -> RunConfig | None:
    """Configuration of the run that `config` starts from; None if it starts from nothing.

    Raises:
        UserError: the folder is missing, is not needed, or holds another run.
    """
    if not config.init_from:
        if run is not None:
            raise UserError(f"--start: {config.name()} starts from nothing (init_from is empty)")
        return None
    if run is None:
        raise UserError(f"--start: missing; {config.name()} starts from {config.init_from}: name its folder")
    parent = load_config(run)
    if parent.name() != config.init_from:
        raise UserError(f"--start: {run}: holds {parent.name()}, but init_from is {config.init_from}")
    check(parent, config)
    return parent


def sources(parent: Model, child: Model) -> dict[str, str]:
    """Weight of the child -> weight of the parent that it starts from; the others keep their own initialisation.

    Raises:
        UserError: the child has more layers on the way to the next token than the parent.
    """
    theirs, ours = parent.layers_to_next_token(), child.layers_to_next_token()
    if len(ours) > len(theirs):
        raise UserError(
            f"init_from: {len(ours)} layers lead to the next token here, but {len(theirs)} in {parent.config.name()}"
        )
    pairs = dict(zip(ours[:-1], theirs, strict=False)) | {ours[-1]: theirs[-1]}
    known = {name for name, _ in parent.named_parameters()}
    same_heads = child.config.heads == parent.config.heads
    found: dict[str, str] = {}
    for name, _ in child.named_parameters():
        layer, _, rest = _split(name)
        if layer in pairs:
            source = f"{pairs[layer]}.{rest}"
        elif layer.startswith("heads.blocks.") and not (same_heads and name in known):
            source = f"{theirs[-1]}.{rest}"
        elif name.startswith("unembeddings.") and name not in known:
            source = "unembeddings.0.weight"
        else:
            source = name
        if source in known:
            found[name] = source
    return found


def _split(name: str) -> tuple[str, str, str]:
    """A weight's name as layer, dot and the rest: `trunk.0`, `heads.blocks.1`, or the name's first part."""
    parts = name.split(".")
    cut = 2 if parts[0] == "trunk" else 3 if parts[:2] == ["heads", "blocks"] else 1
    return ".".join(parts[:cut]), ".", ".".join(parts[cut:])


@torch.no_grad()
def begin(model: Model, parent: RunConfig, run: Path) -> None:
    """Put the weights of a finished run into a new model.

    Raises:
        UserError: the run's weights do not have its configuration's shapes.
    """
    shape = on_meta(parent)
    stored: dict[str, Tensor] = load_file(run / WEIGHTS)
    wanted = {name: tuple(weight.shape) for name, weight in shape.named_parameters()}
    if wanted != {name: tuple(weight.shape) for name, weight in stored.items()}:
        raise UserError(f"{run / WEIGHTS}: not the weights of {parent.name()}; train that run again")
    came = sources(shape, model)
    for name, weight in model.named_parameters():
        if name in came:
            weight.copy_(stored[came[name]])
        elif name.startswith("heads.matrices."):
            weight.copy_(torch.eye(len(weight)))

"""Runs that start from other runs: what the child takes over, and which changes of the heads make sense. No torch.

Finetuning, heads that are removed (Section 3.6: n' = 1 of a model with n = 4) and heads that are added to a finished
model (Table S6) are runs whose `init_from` names another run. How weights find their place is in `mtp/start.py`.
"""

from collections.abc import Mapping
from typing import Any

from mtp.config import RunConfig
from mtp.errors import UserError

INHERITED = (
    "corpus",
    "vocabulary",
    "dim",
    "attention_heads",
    "trunk",
    "extra_layers",
    "n_future",
    "heads",
    "rope_theta",
    "norm_eps",
    "precision",
    "document_mask",
)
"""What a run has in common with the one that it starts from, unless it says otherwise; `layers` follows from the
heads (`layers_of_child`)."""


def inherited(parent: RunConfig) -> dict[str, Any]:
    """Values that a child starts with."""
    return {name: getattr(parent, name) for name in INHERITED}


def layers_of_child(parent: RunConfig, values: Mapping[str, Any]) -> int:
    """`layers` of a child with these values.

    Heads that are removed take their layers with them, and the trunk stays as it was. Heads that are added take
    their layers from the trunk, so that their number does not change ("+0" in Table S6), unless `extra_layers` adds
    some.
    """
    n = int(values["n_future"])
    removed = max(0, parent.n_future - n)
    return parent.layers - removed * parent.layout.layers_per_head


def check(parent: RunConfig, child: RunConfig) -> None:
    """
    Raises:
        UserError: the parent's weights have no place in the child; names the key.
    """
    for key in ("vocabulary", "dim", "attention_heads", "trunk", "rope_theta", "norm_eps"):
        if getattr(parent, key) != getattr(child, key):
            raise UserError(
                f"start: {key}: {getattr(child, key)!r} here, but {getattr(parent, key)!r} in {parent.name()}"
            )
    fewer, more = child.n_future < parent.n_future, child.n_future > parent.n_future
    if fewer and not parent.layout.detachable:
        raise UserError(f"start: n_future: head 1 of the {parent.heads} layout cannot do without the others")
    if fewer and parent.layout.matrices_per_head:
        raise UserError(f"start: n_future: {parent.heads} heads stand before head 1's unembedding; keep all of them")
    if child.n_future > 1 and parent.n_future > 1 and child.heads != parent.heads:
        raise UserError(f"start: heads: {child.heads} heads here, but {parent.heads} in {parent.name()}")
    if more and child.layout.reads_ahead:
        raise UserError(f"start: heads: {child.heads} heads cannot be added to a finished model")
    if child.trunk_layers > parent.all_layers:
        raise UserError(
            f"start: layers: a trunk of {child.trunk_layers} layers, but {parent.name()} has {parent.all_layers}"
        )

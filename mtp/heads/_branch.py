"""What a head layout is made of: branches, each a piece of network from one state to the next.

    parallel      z -> h1, z -> h2, z -> h3         every head on the trunk state
    causal        z -> h1 -> h2 -> h3               every head on the head before it
    replicated    z = h1 = h2 = h3                  no network at all

The loss walks this tree (mtp/loss.py), decoding walks the path to head 1 (mtp/generate.py); neither knows layouts.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Branch:
    """From the state of `source` (an earlier branch; None: the trunk) to the state from which `heads` predict."""

    source: int | None
    heads: tuple[int, ...]


def star(n: int) -> tuple[Branch, ...]:
    """Every head on the trunk state."""
    return tuple(Branch(None, (head,)) for head in range(n))


def chain(order: range) -> tuple[Branch, ...]:
    """Heads on top of each other, in this order from the trunk."""
    return tuple(Branch(i - 1 if i else None, (head,)) for i, head in enumerate(order))

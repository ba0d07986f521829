"""Ways of computing a run on one device or many: a file each.

Which way is taken is how a run is computed, not what it is: it is no part of the configuration. The losses agree to
rounding, since sums over processes are taken in another order than sums over a batch.
"""

from mtp.distributed import Ranks
from mtp.parallel.alone import Alone

NAMES = ("ddp", "fsdp")


def choose(name: str, ranks: Ranks) -> Alone:
    """The way of this name; one process needs none."""
    if ranks.size == 1:
        return Alone(ranks)
    if name == "fsdp":
        from mtp.parallel.fsdp import Sharded

        return Sharded(ranks)
    from mtp.parallel.ddp import Replicated

    return Replicated(ranks)

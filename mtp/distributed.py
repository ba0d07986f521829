"""The processes that train one run together, as `torchrun` starts them; one process without it.

    torchrun --standalone --nproc_per_node=2 -m mtp.train ...       two processes on this machine

Which machine takes part, and as what, stands in the environment (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT). On GPUs tensors travel by NCCL; words between the processes always travel by gloo, host to host, so
that agreeing on something never waits for a GPU.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mtp.errors import UserError


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that train a run."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """The process that writes curves, records and weights, and speaks."""
        return self.rank == 0

    def highest(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all processes."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return found.tolist()

    def as_first(self, value: Any) -> Any:
        """What the first process holds, for all."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def wait(self) -> None:
        """Until all processes are here."""
        self.highest([0.0])


def one_process() -> Ranks:
    """No company: the GPU if there is one, else the CPU."""
    return Ranks(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def refuse(ranks: Ranks, batch_size: int) -> None:
    """
    Raises:
        UserError: the windows of a batch cannot be shared equally.
    """
    if batch_size % ranks.size:
        raise UserError(f"batch_size: {batch_size} windows cannot be shared equally by {ranks.size} processes")


@contextlib.contextmanager
def processes(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the processes that torchrun started with this one; leave them at the end.

    Raises:
        UserError: more processes on this machine than GPUs.
    """
    size = int(environment.get("WORLD_SIZE", "1")) if "RANK" in environment else 1
    if size == 1:
        yield one_process()
        return
    device, backend = torch.device("cpu"), "gloo"
    if torch.cuda.is_available():
        here, gpus = int(environment["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise UserError(f"torchrun --nproc_per_node={here}: more processes on this machine than its {gpus} GPU(s)")
        device, backend = torch.device("cuda", int(environment["LOCAL_RANK"])), "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(backend)
    try:
        yield Ranks(device, torch.distributed.get_rank(), size)
    finally:
        torch.distributed.destroy_process_group()

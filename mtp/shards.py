"""A folder of tensors that several processes write together and any number reads (`torch.distributed.checkpoint`).

A module of its own because the import takes a second, which one process need not wait for.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, distributed
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mtp.errors import UserError


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """All processes together: each writes its pieces, and of whole tensors, which all hold, a share.

    Raises:
        UserError: a process could not write; on all of them.
    """
    try:
        save(dict(tensors), storage_writer=FileSystemWriter(folder))
    except CheckpointException as error:
        reason = next(iter(error.failures.values()))[0]
        raise UserError(f"{folder}: could not be written ({reason}); is the disk full?") from None


def names_in(folder: Path) -> list[str]:
    return list(FileSystemReader(folder).read_metadata().state_dict_metadata)


def read_into(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Each process reads what it holds of `tensors`; it needs no company."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(dict(tensors), storage_reader=FileSystemReader(folder), no_dist=not distributed.is_initialized())

"""Checkpoints of a training run: whole or absent, guarded by configuration and code, two kept.

They lie undeclared beside the outputs of the run, since Snakemake deletes the declared outputs of a killed job. One
process writes a file; several write a folder of shards together (mtp/shards.py). Either is read by any number of
processes, however the run was computed before: tensors go by name.
"""

import dataclasses
import json
import logging
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtp.atomic import replacing, write_text
from mtp.distributed import Ranks
from mtp.errors import UserError

LATEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
SHARDS, PREVIOUS_SHARDS = "checkpoint.shards", "checkpoint.previous.shards"
ABOUT = "about.json"
"""Written last into a folder of shards: identity, numbers, and the size of every file."""
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint found."""

    path: Path
    numbers: dict[str, Any]
    """Step and whatever else is no tensor."""


def save(folder: Path, identity: dict[str, str], numbers: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the checkpoint of one process; the one before it is kept as `checkpoint.previous.pt`."""
    latest = folder / LATEST
    with replacing(latest) as temporary:
        try:
            torch.save({"identity": identity, "numbers": numbers, "tensors": tensors}, temporary)
        except RuntimeError as error:
            # torch reports a full disk as a failed write of its archive
            raise UserError(
                f"{latest}: could not be written ({str(error).splitlines()[0]}); is the disk full?"
            ) from None
        if latest.exists():
            latest.replace(folder / PREVIOUS)


def save_shards(
    folder: Path, identity: dict[str, str], numbers: dict[str, Any], tensors: dict[str, Tensor], ranks: Ranks
) -> None:
    """Write the checkpoint of several processes, each its shards; the one before it is kept too.

    The folder takes its name when all have written: a kill leaves an unnamed folder, which the next attempt removes.
    """
    from mtp.shards import write

    latest, temporary = folder / SHARDS, folder / f".{SHARDS}.tmp"
    if ranks.first:
        shutil.rmtree(temporary, ignore_errors=True)
    ranks.wait()
    write(temporary, tensors)
    if ranks.first:
        sizes = {path.name: path.stat().st_size for path in temporary.iterdir()}
        about = {"identity": identity, "numbers": numbers, "sizes": sizes}
        write_text(temporary / ABOUT, json.dumps(about))
        if latest.exists():
            shutil.rmtree(folder / PREVIOUS_SHARDS, ignore_errors=True)
            latest.replace(folder / PREVIOUS_SHARDS)
        temporary.replace(latest)
    ranks.wait()


def find(folder: Path, identity: dict[str, str]) -> Saved | None:
    """The newest readable checkpoint of this configuration and code, or None.

    A checkpoint of another configuration or of other code is never resumed; the log says which differed.
    """
    found: list[Saved] = []
    for name in (LATEST, SHARDS, PREVIOUS, PREVIOUS_SHARDS):
        path = folder / name
        if not path.exists():
            continue
        try:
            about = _about(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError, ValueError) as error:
            log.warning("%s is unreadable (%s); trying the one before it", path, str(error).splitlines()[0])
            continue
        different = [key for key in identity if about["identity"].get(key) != identity[key]]
        if different:
            log.warning("%s belongs to another %s; not resumed", path, " and ".join(different))
            continue
        found.append(Saved(path, about["numbers"]))
    return max(found, key=lambda saved: saved.numbers["step"], default=None)


def names(saved: Saved) -> list[str]:
    """Names of its tensors."""
    if saved.path.is_dir():
        from mtp.shards import names_in

        return names_in(saved.path)
    return list(_open(saved.path)["tensors"])


def read(saved: Saved, tensors: Mapping[str, Tensor]) -> None:
    """Copy the checkpoint's tensors, all of them, into `tensors`; each process takes the pieces that it holds."""
    if saved.path.is_dir():
        from mtp.shards import read_into

        read_into(saved.path, tensors)
        return
    stored = _open(saved.path)["tensors"]
    for name, tensor in tensors.items():
        _copy(stored[name], tensor)


def remove(folder: Path) -> None:
    """Delete the checkpoints of a finished run."""
    for name in (LATEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
    for name in (SHARDS, PREVIOUS_SHARDS, f".{SHARDS}.tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _open(path: Path) -> dict[str, Any]:
    """A checkpoint file; its tensors are read when they are used."""
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return found


def _about(path: Path) -> dict[str, Any]:
    """Identity and numbers of a checkpoint.

    Raises:
        ValueError: a shard is missing or has another size than when it was written.
    """
    if path.is_file():
        return _open(path)
    about: dict[str, Any] = json.loads((path / ABOUT).read_text())
    for name, size in about["sizes"].items():
        if not (path / name).exists() or (path / name).stat().st_size != size:
            raise ValueError(f"{name} is missing or cut short")
    return about


@torch.no_grad()
def _copy(whole: Tensor, target: Tensor) -> None:
    """Into a tensor of the same shape, or into this process's piece of it."""
    mesh = getattr(target, "device_mesh", None)
    if mesh is None:
        target.copy_(whole)
        return
    from torch.distributed.tensor import distribute_tensor

    # src_data_rank=None: every process has read the file, nothing needs to travel.
    target.copy_(distribute_tensor(whole.to(target.device), mesh, target.placements, src_data_rank=None))  # type: ignore[attr-defined]

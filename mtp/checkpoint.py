"""Checkpoints of a training run: atomic, guarded by configuration and code, two kept.

They lie undeclared beside the outputs of the run, since Snakemake deletes the declared outputs of a killed job.
"""

import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from mtp.atomic import replacing
from mtp.errors import UserError

LATEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
log = logging.getLogger(__name__)


def save(folder: Path, identity: dict[str, str], state: dict[str, Any]) -> None:
    """Write `state`; the checkpoint before it is kept as `checkpoint.previous.pt`."""
    latest = folder / LATEST
    with replacing(latest) as temporary:
        try:
            torch.save({"identity": identity, "state": state}, temporary)
        except RuntimeError as error:
            # torch reports a full disk as a failed write of its archive
            raise UserError(
                f"{latest}: could not be written ({str(error).splitlines()[0]}); is the disk full?"
            ) from None
        if latest.exists():
            latest.replace(folder / PREVIOUS)


def load(folder: Path, identity: dict[str, str]) -> dict[str, Any] | None:
    """The newest readable checkpoint of this configuration and code, or None.

    A checkpoint of another configuration or of other code is never resumed; the log says which differed.
    """
    for name in (LATEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
            log.warning("%s is unreadable (%s); trying the one before it", path, str(error).splitlines()[0])
            continue
        different = [key for key in identity if found["identity"].get(key) != identity[key]]
        if different:
            log.warning("%s belongs to another %s; not resumed", path, " and ".join(different))
            continue
        state: dict[str, Any] = found["state"]
        return state
    return None


def remove(folder: Path) -> None:
    """Delete the checkpoints of a finished run."""
    for name in (LATEST, PREVIOUS):
        (folder / name).unlink(missing_ok=True)

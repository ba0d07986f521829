"""The record of a trained run: the files in its folder, and the configuration. No torch."""

import json
from pathlib import Path

from mtp.config import RunConfig
from mtp.errors import UserError

RECORD = "config.json"
WEIGHTS = "model.safetensors"
"""Files in the folder of a run."""


def load_config(run: Path) -> RunConfig:
    """The configuration in a run's config.json.

    Raises:
        UserError: no such run, or not the record of one.
    """
    path = run / RECORD
    try:
        values = json.loads(path.read_text())
        return RunConfig.from_dict(values["config"])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; train the run first (python -m mtp.train)") from None
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not the record of a run ({type(error).__name__}: {error})") from None
    except UserError as error:
        raise UserError(f"{path}: config: {error}") from None

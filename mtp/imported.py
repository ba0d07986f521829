"""Where weights of others are that an experiment names with `checkpoint`, and how to get them. No torch here.

`checkpoint: 7B_200B_4` is a folder in the one that the environment variable MTP_CHECKPOINTS names; a path that begins
with / or ~ stands for itself. The folder holds params.json and consolidated.pth (mtp/released.py), and it or the folder
around it the tokenizer.model.
"""

import os
from pathlib import Path

from mtp.config import RunConfig

ENVIRONMENT = "MTP_CHECKPOINTS"
FILES = ("params.json", "consolidated.pth")
TOKENIZER = "tokenizer.model"


def folder_of(checkpoint: str) -> Path:
    """Where a checkpoint lies, or would."""
    return Path(os.environ.get(ENVIRONMENT, "")).expanduser() / Path(checkpoint).expanduser()


def tokenizer_of(checkpoint: str) -> Path:
    """The SentencePiece model that belongs to a checkpoint: in its folder or, as Meta has it, beside it."""
    own = folder_of(checkpoint) / TOKENIZER
    return own if own.is_file() else folder_of(checkpoint).parent / TOKENIZER


def lacking(checkpoint: str, vocabulary: str) -> str:
    """Why a checkpoint cannot be used here, with the remedy; empty if it can."""
    needed = [folder_of(checkpoint) / name for name in FILES]
    if vocabulary.startswith("sp"):
        needed.append(tokenizer_of(checkpoint))
    if all(path.is_file() for path in needed):
        return ""
    name = Path(checkpoint).name
    missing = next(path.name for path in needed if not path.is_file())
    return (
        f"{missing} of the checkpoint {name} is not here; Meta gives access to its weights on the hub"
        f" (facebook/multi-token-prediction), then {ENVIRONMENT} names the folder that {name} lies in"
    )


def files_of(config: RunConfig) -> list[str]:
    """The files that a run's weights come from; none if it is trained."""
    return [str(folder_of(config.checkpoint) / name) for name in FILES if config.checkpoint]

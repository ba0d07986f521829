"""Results that another machine has computed: finding them, telling whether they are of this very job, taking them over.

`python -m mtp.bundle accept` puts them into results/<scale>/elsewhere, laid out as results/<scale> itself. A job that
finds its own result there, of the same configuration, settings and code, takes it instead of computing it. No torch.

Weights are usually too large to travel. A file without tensors then stands in their place and says where they are, so
that nothing computes with them by mistake and the run still counts as trained.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mtp.atomic import replacing, write_text
from mtp.record import WEIGHTS

FOLDER = "elsewhere"
RECORD = ".job.json"
"""End of the name of a finished job's record, which lies beside its files."""
ABSENT = "absent"


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished job: what it was, what it wrote and where."""

    identity: Mapping[str, str]
    """Configuration, settings and code: what decides its result."""
    files: Sequence[str]
    """Names in its folder."""
    machine: str
    date: str

    @property
    def told(self) -> str:
        return f"computed on {self.machine}, {self.date}"


def write(folder: Path, job: str, done: Done) -> None:
    """Put the record of a finished job beside its files."""
    write_text(folder / f"{job}{RECORD}", json.dumps(dataclasses.asdict(done), indent=1, sort_keys=True) + "\n")


def read(folder: Path, job: str) -> Done | None:
    """The record of a job in a folder; None if it is not done, or its files are not all there."""
    try:
        done = Done(**json.loads((folder / f"{job}{RECORD}").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return done if all((folder / name).exists() for name in done.files) else None


def differences(done: Done, identity: Mapping[str, str]) -> list[str]:
    """Keys in which a finished job is not the one that is asked for."""
    return sorted(key for key in done.identity.keys() | identity.keys() if done.identity.get(key) != identity.get(key))


def counterpart(folder: Path) -> Path:
    """Where the other machine's files for a folder in results/<scale> lie: runs/<run> or measurements."""
    scale = folder.parent.parent if folder.parent.name == "runs" else folder.parent
    return scale / FOLDER / folder.relative_to(scale)


def take(folder: Path, job: str, identity: Mapping[str, str]) -> Done | None:
    """Copy what the other machine has computed for a job into `folder`; None if there is nothing of this identity."""
    source = counterpart(folder)
    done = read(source, job)
    if done is None:
        return None
    if differ := differences(done, identity):
        print(f"{source}: {job}: of another {' and '.join(differ)}; not taken", flush=True)
        return None
    for name in done.files:
        with replacing(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
    print(f"{job}: taken from {source}, {done.told}", flush=True)
    return done


def take_run(folder: Path, identity: Mapping[str, str]) -> bool:
    """Take over a training run; where its weights did not come along, a file that says so stands for them."""
    done = take(folder, "train", identity)
    if done is None:
        return False
    weights = counterpart(folder) / WEIGHTS
    if weights.exists():
        with replacing(folder / WEIGHTS) as temporary:
            shutil.copyfile(weights, temporary)
    else:
        stand_in(folder / WEIGHTS, done.told)
    return True


def stand_in(path: Path, told: str) -> None:
    """Write a file without tensors that says where the weights are."""
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({}, temporary, {ABSENT: told})


def absent(run: Path) -> str:
    """Where a run's weights are if a file without tensors stands for them; empty if they are here or never were."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run / WEIGHTS, framework="np") as file:
            return str((file.metadata() or {}).get(ABSENT, ""))
    except (OSError, SafetensorError):
        return ""

"""What the model's part of an evaluation leaves for the rest of it, which may be done on another machine.

Some evaluations have two parts. Drawing (samples, likelihoods, answers) needs torch and the weights; judging (programs
in the sandbox, counts, intervals) needs neither. Between them lies <evaluation>.drawn.json.gz beside the result, with
its identity: all that decides what is drawn. No torch here.
"""

import dataclasses
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtp import provenance
from mtp.atomic import replacing
from mtp.data.storage import MANIFEST, sha256_of
from mtp.elsewhere import absent
from mtp.record import WEIGHTS

SHOWN = 60
"""Characters of a value that messages quote."""


class Unfit(Exception):
    """A drawn file that cannot be used, or none; the text says why."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The content of a drawn file."""

    identity: dict[str, Any]
    found: dict[str, Any]
    """What the evaluation's `draw` returned."""
    seconds: float
    """How long drawing took, by the clock."""
    provenance: dict[str, Any]
    """Of the machine that drew, with its device and arithmetic."""


def path_of(out: Path, name: str) -> Path:
    """The drawn file of an evaluation whose result is written to `out`."""
    return out.with_name(f"{name}.drawn.json.gz")


def code_of(evaluation: Any, named: Sequence[str]) -> str:
    """Fingerprint of the code that decides what an evaluation draws, and not of what judges it.

    Args:
        evaluation: a module in mtp/evals, in two parts.
        named: modules that the run's configuration and corpus name.
    """
    return provenance.fingerprint(evaluation.DRAWS[0], (*evaluation.DRAWS[1:], *named))


def identity(name: str, run: Path, run_name: str, data: Path, settings: Mapping[str, Any], code: str) -> dict[str, Any]:
    """All that decides what an evaluation draws; `weights` is None where they are not here.

    Args:
        run_name: which stands for the run's configuration.
        code: fingerprint of the code that draws.
    """
    weights = run / WEIGHTS
    return {
        "eval": name,
        "run": run_name,
        "settings": dict(settings),
        "data": sha256_of(data / MANIFEST),
        "code": code,
        "weights": sha256_of(weights) if weights.exists() and not absent(run) else None,
    }


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first thing in which two identities differ; empty if in none. Weights that are not here do not count."""
    theirs, ours = _flat(there), _flat(here)
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key) and not (key == "weights" and ours[key] is None):
            return f"{key}: {_quoted(theirs.get(key))}, not {_quoted(ours.get(key))}"
    return ""


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Settings beside the rest."""
    settings = {f"settings.{key}": value for key, value in identity["settings"].items()}
    return {key: value for key, value in identity.items() if key != "settings"} | settings


def _quoted(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def write(path: Path, drawn: Drawn) -> None:
    """Whole or not at all; equal contents in equal order are equal bytes."""
    text = json.dumps(vars(drawn), separators=(",", ":"), allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def read(path: Path, wanted: Mapping[str, Any]) -> Drawn:
    """The drawn file with this identity.

    Raises:
        Unfit: there is none, or it is damaged or of another identity.
    """
    try:
        found = Drawn(**json.loads(gzip.decompress(path.read_bytes())))
        differs = difference(found.identity, wanted)
    except FileNotFoundError:
        raise Unfit(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unfit(f"{path}: cannot be read ({type(error).__name__}: {error})") from None
    if differs:
        raise Unfit(f"{path}: was drawn with another {differs}")
    return found

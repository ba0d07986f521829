"""Lock files: `name==version --hash=sha256:...`, the form that `pip --require-hashes` reads."""

import dataclasses
import re
from pathlib import Path

from mtp.errors import UserError

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)((?:\s+--hash=sha256:[0-9a-f]{64})+)")


@dataclasses.dataclass(frozen=True)
class Pin:
    """One wheel of a lock file."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """Accepted hashes; one of them must match."""

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def line(self) -> str:
        """The pin as pip reads it."""
        return " ".join([str(self), *(f"--hash=sha256:{digest}" for digest in self.sha256)])


def read_lock(path: Path) -> tuple[Pin, ...]:
    """All pins, in the order of the file.

    Raises:
        UserError: file missing, a line without version or hash, a package named twice, or no pin at all.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot read the lock file: {error.strerror}") from None
    logical = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    pins: list[Pin] = []
    for line in (part.strip() for part in logical.splitlines()):
        if not line:
            continue
        match = _PIN.fullmatch(line)
        if not match:
            raise UserError(f"{path}: {line.split()[0]}: expected `name==version --hash=sha256:<64 hex digits>`")
        if match[1] in {pin.name for pin in pins}:
            raise UserError(f"{path}: {match[1]}: named twice")
        pins.append(Pin(match[1], match[2], tuple(re.findall(r"sha256:([0-9a-f]{64})", match[3]))))
    if not pins:
        raise UserError(f"{path}: names no package")
    return tuple(pins)

"""Settings of an evaluation or a measure: a mapping from the scale's YAML, checked before anything is computed."""

from collections.abc import Mapping
from typing import Any

from mtp.config import nearest
from mtp.errors import UserError


def checked(settings: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]) -> dict[str, Any]:
    """The settings, with whole numbers accepted as float.

    Raises:
        UserError: naming a key that is unknown, missing or of the wrong type.
    """
    known = {**required, **optional}
    for key in settings:
        if key not in known:
            raise UserError(f"settings: {key}: unknown key{nearest(key, known)} (known: {', '.join(known)})")
    for key in required:
        if key not in settings:
            raise UserError(f"settings: {key}: missing")
    for key, value in settings.items():
        kind = (int, float) if known[key] is float else known[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and known[key] is not bool):
            raise UserError(f"settings: {key}: expected {known[key].__name__}, got {value!r}")
    return dict(settings)


def positive(settings: Mapping[str, Any], *keys: str) -> None:
    """Raise `UserError` unless these settings are at least 1."""
    for key in keys:
        if key in settings and settings[key] < 1:
            raise UserError(f"settings: {key}: must be at least 1, got {settings[key]}")

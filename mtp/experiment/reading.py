"""A YAML file into the classes of its keys, or one line that says what is wrong with it. No torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mtp.config import nearest
from mtp.errors import UserError

EXPERIMENTS = Path("experiments")


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Keys = TypeVar("Keys", bound=Strict)


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML keeps the last of two equal keys without a word; here they are an error."""


def _unique_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(k, deep=True) for k, _ in node.value]  # type: ignore[no-untyped-call]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: Path) -> Any:
    """YAML with duplicate keys refused.

    Raises:
        UserError: file missing or not YAML; names file and line.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError:
        known = [p.stem for p in path.parent.glob("*.yaml")]
        raise UserError(f"{path}: no such file{nearest(path.stem, known)}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UserError(f"{path}: line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:  # a character that no YAML may hold
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def validate(model: type[Keys], values: Mapping[str, Any], path: Path) -> Keys:
    """The values of a file as its class.

    Raises:
        UserError: naming file and key.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error, model)}") from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One validation error as `key.key: message`, with the nearest valid key: a misspelt key, else the first."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            owner = _descend(owner, part)
        return f"{'.'.join(path)}: unknown key{nearest(path[-1], getattr(owner, 'model_fields', {}))}"
    if first["type"] == "missing":
        return f"{'.'.join(path)}: missing"
    return f"{'.'.join(path)}: {first['msg']}, got {first['input']!r}"


def _descend(model: Any, part: str | int) -> Any:
    """The model behind a field, through lists and dictionaries."""
    if isinstance(part, int) or not hasattr(model, "model_fields"):
        return model
    if part not in model.model_fields:
        return model
    kind = model.model_fields[part].annotation
    found = [a for a in (kind, *getattr(kind, "__args__", ())) if isinstance(a, type) and issubclass(a, BaseModel)]
    return found[0] if found else model

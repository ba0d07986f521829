"""The JSON schema of an experiment's YAML, so that editors complete its keys. No torch here.

    python -m mtp.schema             # write workflow/schemas/experiment.json
    python -m mtp.schema --check     # exit status 2 if that file is stale

It is made from the classes in `mtp.experiment` and the fields of `RunConfig`, which stay the authority: names that a
file registers by lying in a folder (head layouts, evaluations, figure kinds) and words of a scale are left to the
loader, so that adding one never makes this schema stale.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from mtp.atomic import write_text
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.experiment import RUNGS, START, Spec

PATH = Path("workflow/schemas/experiment.json")
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[+-]?[0-9.]+[eE][+-]?[0-9]+$"}]}
"""A number; YAML reads 3e-4, without a sign or a point, as text, and so does `RunConfig`."""
TYPES: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"}, float: NUMBER, str: {"type": "string"}, bool: {"type": "boolean"}
}  # fmt: skip


def values() -> dict[str, Any]:
    """Key -> schema of one value, for everything that `base`, `start` and `grid` may set."""
    options = {field.name: TYPES[field.type] for field in dataclasses.fields(RunConfig)}
    options["head_weights"] = {"anyOf": [TYPES[str], {"type": "array", "items": NUMBER}]}
    return options | {rung: {"type": ["string", "number"]} for rung in RUNGS}


def schema() -> dict[str, Any]:
    """The schema: pydantic's, with the keys of `base`, `start` and `grid` filled in."""
    found = Spec.model_json_schema()
    one = {key: value for key, value in values().items() if key != "seed"}  # seeds come from the scale or a grid
    many = {key: {"type": "array", "items": value, "minItems": 1} for key, value in values().items()}
    parts = found.pop("$defs")
    for owner in (found, parts["Arm"]):
        grids = many | {f"{START}{key}": value for key, value in many.items()}
        for name, keys in (("base", one), ("start", one), ("grid", grids)):
            owner["properties"][name] |= {"additionalProperties": False, "properties": keys}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Experiment",
        "description": "One file in experiments/paper or experiments/ablations; keys in experiments/README.md.",
        "$defs": parts,
    }


def text() -> str:
    """The schema as it is stored."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mtp.schema", description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 2 if the file is stale")
    args = parser.parse_args(argv)
    try:
        if not args.check:
            write_text(PATH, text())
        elif not PATH.exists() or PATH.read_text() != text():
            raise UserError(f"{PATH}: stale; run `python -m mtp.schema` and commit the file")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Measure what a training step of some configurations costs; writes one JSON file.

    python -m mtp.measure --name step_time --experiment tableS5 --configs '[{"dim": 96, ...}, ...]' \\
        --settings '{"rounds": 15, "warmup": 2, "step_tokens": 1024}' --out results/cpu/measurements/tableS5.json

Nothing is trained for its own sake: the configurations of an experiment take steps on random tokens, all of them in
one job, since only what is measured side by side can be compared. A measure is a file in mtp/measures with VERSION and
run(configs, settings); its name is the name of the file. Measures:

    step_time    seconds of a step, interleaved: relative to n = 1, to the arithmetic floor and to the machine's peak
                 (settings rounds, warmup, step_tokens)
    step_memory  peak memory of a step above weights and optimiser state, each configuration in a fresh process
                 (settings repeats, step_tokens)
    order        in which order trunk, heads and losses go forward and backward, and whose logits live at once
    arithmetic   sizes, budgets and costs of the configurations
"""

import argparse
import importlib
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mtp import cpu, elsewhere, provenance
from mtp.atomic import write_text
from mtp.config import RunConfig, nearest
from mtp.errors import UserError
from mtp.evaluate import read_settings
from mtp.measures import names
from mtp.modules import named_by


def measure(
    name: str, experiment: str, configs: Sequence[RunConfig], settings: dict[str, Any], out: Path, code: str = ""
) -> dict[str, Any]:
    """Run one measure and write its result to `out`; returns what was written.

    Args:
        name: of a file in mtp/measures.
        experiment: that asks, for the record.
        settings: of the measure.
        code: fingerprint of the code; computed here if empty.

    Raises:
        UserError: unknown measure, wrong settings.
    """
    if name not in names():
        raise UserError(f"--name: unknown {name!r}{nearest(name, names())} (known: {', '.join(names())})")
    module = importlib.import_module(f"mtp.measures.{name}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings_of = {(config.precision, config.compile) for config in configs}
    arithmetic = ", ".join(sorted(cpu.prepare(*each) for each in settings_of)) if device == "cpu" else "as configured"
    named = sorted({module for config in configs for module in named_by(config)})
    code = code or provenance.fingerprint("mtp.measure", (f"mtp.measures.{name}", *named))
    started = time.perf_counter()
    found = module.run(list(configs), settings)
    result = {
        "measure": name,
        "version": module.VERSION,
        "experiment": experiment,
        **found,
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance.describe(code=code, arithmetic=arithmetic, device=_device_name(device)),
    }
    write_text(out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


def read_configs(text: str) -> list[RunConfig]:
    """Configurations from a JSON list; keys left out have their defaults.

    Raises:
        UserError: not such a list; names the key.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--configs: not JSON: {error}") from None
    if not isinstance(values, list) or not values:
        raise UserError("--configs: expected a list with at least one configuration")
    try:
        return [RunConfig.from_dict(value) for value in values]
    except UserError as error:
        raise UserError(f"--configs: {error}") from None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.measure", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help=f"one of: {', '.join(names())}")
    parser.add_argument("--experiment", required=True, help="whose configurations these are, for the record")
    parser.add_argument("--configs", required=True, help="JSON list of configurations")
    parser.add_argument("--settings", required=True, help="JSON text, or a file that holds it")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--code", default="", help="fingerprint of the code; default: computed here")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        configs = read_configs(args.configs)
        identity = {"configurations": args.configs, "settings": args.settings, "code": args.code}
        if elsewhere.take(args.out.parent, args.out.stem, identity) is None:
            measure(args.name, args.experiment, configs, read_settings(args.settings), args.out, args.code)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

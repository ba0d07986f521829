"""Evaluate one trained run; writes one JSON file.

    python -m mtp.evaluate --run results/cpu/runs/RUN --data results/data/code_small/bpe2048 \\
        --eval likelihood --settings '{"limit_bytes": 200000, "batch_size": 16}' --out likelihood.json

An evaluation is a file in mtp/evals with VERSION, check(settings) and run(model_dir, data_dir, settings, out_dir,
workers); its name is the name of the file. Evaluations:

    likelihood   bits per byte and accuracy of every head, on held-out code and on HumanEval's reference solutions
                 (settings limit_bytes, batch_size)
    humaneval    pass@k by execution in a sandbox; shares of samples that parse, define the function and pass one
                 assertion; likelihood of the reference solutions and their rank among mutants (settings samples,
                 temperatures, top_p, max_tokens, ks, batch_size, mutants, and problems for only the first so many)
    mbpp         the same on MBPP (further settings split, style, folder)
    apps         the same on the introductory problems of APPS (further setting folder)
    whitespace   what spaces and newlines behind the prompts change (settings benchmarks, samples; problems, and those
                 of humaneval unless samples is 0)

The file says "unavailable" and why where an evaluation cannot run on this machine; that is no error.
"""

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from mtp import provenance
from mtp.atomic import write_text
from mtp.config import RunConfig
from mtp.data.storage import read_manifest
from mtp.errors import UserError
from mtp.evals import module_of, names
from mtp.modules import named_by
from mtp.problems import Unavailable
from mtp.record import load_config


def evaluate(
    name: str, run: Path, data: Path, settings: dict[str, Any], out: Path, code: str = "", workers: int = 1
) -> dict[str, Any]:
    """Run one evaluation and write its result to `out`; returns what was written.

    What is unavailable or wrong is found before torch is imported, in a fraction of a second.

    Args:
        name: of a file in mtp/evals.
        run: folder with model.safetensors and config.json.
        data: prepared folder of the run's vocabulary.
        settings: of the evaluation.
        code: fingerprint of the code; computed here if empty.
        workers: processes that may execute programs side by side.

    Raises:
        UserError: unknown evaluation, missing files, wrong settings.
    """
    module = module_of(name)
    settings = module.check(settings)
    config = load_config(run)
    if data.name != config.vocabulary and (data / "manifest.json").exists():
        vocabulary = json.loads((data / "manifest.json").read_text()).get("vocabulary", {}).get("name")
        if vocabulary != config.vocabulary:
            raise UserError(f"--data: {data}: holds {vocabulary} tokens, but {run} was trained on {config.vocabulary}")
    task = read_manifest(data).get("corpus", {}).get("task", "")
    code = code or provenance.fingerprint("mtp.evaluate", (f"mtp.evals.{name}", *named_by(config, task)))
    started = time.perf_counter()
    try:
        if hasattr(module, "ready"):
            module.ready(settings)
    except Unavailable as error:
        found = {"status": "unavailable", "reason": str(error), "metrics": [], "settings": settings}
        used = {}
    else:
        used = _prepare(config)
        found = module.run(run, data, settings, out.parent, workers)
    result = {
        "eval": name,
        "version": module.VERSION,
        "run": config.name(),
        **found,
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance.describe(code=code, **used),
    }
    write_text(out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def _prepare(config: RunConfig) -> dict[str, str]:
    """Set up the arithmetic that the run was trained in; returns it and the device, by name."""
    import torch

    from mtp import cpu

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"arithmetic": cpu.prepare(config.precision) if device == "cpu" else config.precision, "device": device}


def read_settings(text: str) -> dict[str, Any]:
    """JSON text, or a file that holds it.

    Raises:
        UserError: not a JSON object.
    """
    source = "--settings"
    if not text.lstrip().startswith("{"):
        source = text
        try:
            text = Path(text).read_text()
        except OSError as error:
            raise UserError(f"--settings: {source}: neither JSON nor a file: {error.strerror}") from None
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f'{source}: expected an object such as {{"limit_bytes": 200000}}')
    return values


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mtp.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True, type=Path, help="folder with model.safetensors and config.json")
    parser.add_argument("--data", required=True, type=Path, help="prepared folder of the run's corpus and vocabulary")
    parser.add_argument("--eval", required=True, metavar="NAME", help=f"one of: {', '.join(names())}")
    parser.add_argument("--settings", required=True, help="JSON text, or a file that holds it")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write; other files go beside it")
    parser.add_argument("--code", default="", help="fingerprint of the code; default: computed here")
    parser.add_argument("--workers", type=int, default=1, help="programs executed side by side (default: 1)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        settings = read_settings(args.settings)
        evaluate(args.eval, args.run, args.data, settings, args.out, args.code, args.workers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

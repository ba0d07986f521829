"""Evaluate one trained run; writes one JSON file.

    python -m mtp.evaluate --run results/cpu/runs/RUN --data results/data/code_small/bpe2048 \\
        --eval likelihood --settings '{"limit_bytes": 200000, "batch_size": 16}' --out likelihood.json

An evaluation is a file in mtp/evals with VERSION, METRICS (what it reports -> labels), check(settings) and
run(model_dir, data_dir, settings, out_dir, workers); its name is the name of the file. Evaluations:

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

Evaluations with draw and judge in place of run (humaneval, mbpp, apps, contests, whitespace, induction) can be divided
between two machines. With --draw the model's part is done, which needs torch and the weights but neither sandbox nor
scipy, and leaves EVAL.drawn.json.gz beside --out. The same command without --draw, where that file lies beside --out,
does the rest without torch and weights. On one machine it does both parts.
"""

import argparse
import dataclasses
import hashlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from mtp import drawn, elsewhere, provenance
from mtp.atomic import write_text
from mtp.config import RunConfig
from mtp.data.storage import read_manifest
from mtp.errors import UserError
from mtp.evals import module_of, names
from mtp.modules import named_by
from mtp.problems import Unavailable
from mtp.record import WEIGHTS, load_config

log = logging.getLogger("mtp.evaluate")


@dataclasses.dataclass(frozen=True)
class Job:
    """One evaluation of one run, checked as far as that needs no torch."""

    name: str
    module: Any
    run: Path
    config: RunConfig
    data: Path
    settings: dict[str, Any]
    out: Path
    named: tuple[str, ...]
    """Modules that the run's configuration and corpus name."""

    @property
    def in_two_parts(self) -> bool:
        return hasattr(self.module, "draw")


def job_of(name: str, run: Path, data: Path, settings: dict[str, Any], out: Path) -> Job:
    """
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
    return Job(name, module, run, config, data, settings, out, named_by(config, task))


def evaluate(
    name: str, run: Path, data: Path, settings: dict[str, Any], out: Path, code: str = "", workers: int = 1
) -> dict[str, Any]:
    """Run one evaluation and write its result to `out`; returns what was written.

    What is unavailable or wrong is found before torch is imported, in a fraction of a second. Of an evaluation in two
    parts only the second is done if what was drawn lies beside `out`. Such a file stays; one that is drawn here goes
    when it has been judged.

    Args:
        name: of a file in mtp/evals.
        run: folder with config.json and, unless all is drawn, model.safetensors.
        data: prepared folder of the run's vocabulary.
        settings: of the evaluation.
        code: fingerprint of the code; computed here if empty.
        workers: processes that may execute programs side by side.

    Raises:
        UserError: unknown evaluation, missing files, wrong settings; no weights, and nothing fit is drawn.
    """
    job = job_of(name, run, data, settings, out)
    code = code or provenance.fingerprint("mtp.evaluate", (f"mtp.evals.{name}", *job.named))
    started = time.perf_counter()
    content: drawn.Drawn | None = None
    here, used = False, {}
    try:
        if hasattr(job.module, "ready"):
            job.module.ready(job.settings)
    except Unavailable as error:
        found: dict[str, Any] = {"status": "unavailable", "reason": str(error), "metrics": [], "settings": job.settings}
    else:
        if job.in_two_parts:
            content, here = _drawn(job)
            found = job.module.judge(content.found, data, job.settings, out.parent, workers)
        else:
            used = _prepare(job.config)
            found = job.module.run(run, data, job.settings, out.parent, workers)
    if undeclared := {entry["metric"] for entry in found["metrics"]} - set(job.module.METRICS):
        raise ValueError(f"mtp.evals.{name}: METRICS lacks {sorted(undeclared)}")
    seconds = time.perf_counter() - started
    told = {}
    if content:
        told = {"drawn": {"seconds": content.seconds, "provenance": content.provenance}}
        if here:
            used = {key: content.provenance[key] for key in ("arithmetic", "device")}
        else:
            seconds += content.seconds
    result = {
        "eval": name,
        "version": job.module.VERSION,
        "run": job.config.name(),
        **found,
        "seconds": round(seconds, 1),
        "provenance": provenance.describe(code=code, **used),
        **told,
    }
    write_text(out, json.dumps(result, indent=1, allow_nan=False) + "\n")
    if here:
        drawn.path_of(out, name).unlink()
    return result


def draw(name: str, run: Path, data: Path, settings: dict[str, Any], out: Path) -> Path:
    """Do the first part of an evaluation, unless it is done; returns the file that it leaves beside `out`.

    Args: as `evaluate`.

    Raises:
        UserError: as `evaluate`; an evaluation that is not in two parts, or its data are not here.
    """
    job = job_of(name, run, data, settings, out)
    if not job.in_two_parts:
        raise UserError(f"--draw: {name} is not in two parts; leave --draw out")
    try:
        if hasattr(job.module, "ready_to_draw"):
            job.module.ready_to_draw(job.settings)
    except Unavailable as error:
        raise UserError(f"--draw: {name}: {error}") from None
    _drawn(job)
    return drawn.path_of(out, name)


def _drawn(job: Job) -> tuple[drawn.Drawn, bool]:
    """What is drawn, and whether that was done here and now.

    Raises:
        UserError: no weights, and nothing fit is drawn.
    """
    path = drawn.path_of(job.out, job.name)
    code = drawn.code_of(job.module, job.named)
    wanted = drawn.identity(job.name, job.run, job.config.name(), job.data, job.settings, code)
    try:
        found = drawn.read(path, wanted)
    except drawn.Unfit as error:
        if wanted["weights"] is None:
            if path.exists():
                raise UserError(f"{error}; to draw anew needs {job.run / WEIGHTS}, which is not here") from None
            raise UserError(
                f"{job.run / WEIGHTS}: no such file, nor {path}; train the run first (python -m mtp.train), or draw"
                " where its weights are (--draw)"
            ) from None
        if path.exists():
            log.info("%s; drawing anew", error)
    else:
        log.info("%s: drawn already", path)
        return found, False
    started = time.perf_counter()
    used = _prepare(job.config)
    told = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    content = job.module.draw(job.run, job.data, job.settings, job.out.parent, told)
    seconds = round(time.perf_counter() - started, 1)
    drawn.write(path, drawn.Drawn(wanted, content, seconds, provenance.describe(code=code, **used)))
    for partial in path.parent.glob(f"{job.name}.*partial.jsonl"):
        partial.unlink()
    return drawn.read(path, wanted), True


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
    parser.add_argument("--draw", action="store_true", help="only the model's part; writes EVAL.drawn.json.gz")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    try:
        settings = read_settings(args.settings)
        if args.draw:
            draw(args.eval, args.run, args.data, settings, args.out)
            return
        job = job_of(args.eval, args.run, args.data, settings, args.out)
        code = drawn.code_of(job.module, job.named) if job.in_two_parts else args.code
        taken = elsewhere.take(args.out.parent, args.eval, {"settings": args.settings, "code": code})
        if taken is None or args.out.name not in taken.files:  # nothing came, or only what is to be judged
            evaluate(args.eval, args.run, args.data, settings, args.out, args.code, args.workers)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

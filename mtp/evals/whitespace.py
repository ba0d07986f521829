"""White space as pause tokens (Section 4.3, Table S11): what spaces and newlines at the end of prompts change.

The same benchmark is taken with prompts as they are ("none") and with white space added to their end; the reference
solutions and what is made of a completion stay the same. The paper reports the change of pass@k. Small models pass
nothing: for them the change of the reference solutions' bits per byte is reported, and `samples: 0` draws no samples.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtp.config import nearest
from mtp.errors import UserError
from mtp.evals import _code, _drawing
from mtp.problems import Problem, Unavailable, apps, humaneval, mbpp
from mtp.settings import checked, positive

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {
    "pass@k": ("benchmark", "whitespace", "k", "temperature"),
    "pass@k_change": ("benchmark", "whitespace", "k", "temperature"),
    "reference_bits_per_byte": ("benchmark", "whitespace"),
    "reference_bits_change": ("benchmark", "whitespace"),
}
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.evals._drawing", "mtp.evals.whitespace")
"""Modules whose code decides what is drawn."""
NONE = "none"
ADDED = {NONE: "", "newline": "\n", "spaces + newline": "    \n"}
"""The paper does not say how many spaces: here one level of indentation."""
SAMPLING = ("temperatures", "top_p", "max_tokens", "ks", "batch_size")
"""Settings of sampling, as in the other code evaluations; not given where samples: 0."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    own = {"benchmarks": list, "samples": int}
    sampling = {key: _code.REQUIRED[key] for key in SAMPLING}
    draws = settings.get("samples") != 0
    optional = {"problems": int, "style": str, "folder": str}
    found = checked(settings, own | (sampling if draws else {}), optional)
    positive(found, "problems")
    known = (humaneval.NAME, mbpp.NAME, apps.NAME)
    for name in found["benchmarks"] or [""]:
        if name not in known:
            hint = f"{nearest(str(name), known)} (known: {', '.join(known)})"
            raise UserError(f"settings: benchmarks: unknown {name!r}{hint}")
    if draws:
        _code.check({key: found[key] for key in ("samples", *SAMPLING)} | {"mutants": 0})
    return found


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where programs cannot be executed; a missing data set concerns only its own numbers."""
    if settings["samples"]:
        _code.ready()


def problems_of(benchmark: str, settings: Mapping[str, Any]) -> Sequence[Problem]:
    """The problems, the first `problems` of them; MBPP's are the test split."""
    folder = settings.get("folder", "")
    load: dict[str, Callable[[], Sequence[Problem]]] = {
        humaneval.NAME: humaneval.load,
        mbpp.NAME: functools.partial(mbpp.load, "test", settings.get("style", "zero-shot"), folder),
        apps.NAME: functools.partial(apps.load, folder),
    }
    return load[benchmark]()[: settings.get("problems")]


def with_added(problems: Sequence[Problem], white: str) -> tuple[Problem, ...]:
    """The problems with `white` behind their prompts; programs are made of completions as before."""
    return tuple(dataclasses.replace(problem, prompt=problem.prompt + white) for problem in problems)


def change(with_P: "np.ndarray", without_P: "np.ndarray", weights_P: "np.ndarray") -> dict[str, float]:
    """Mean of the weighted differences and its 95 % bootstrap interval over problems."""
    import numpy as np

    from mtp.statistics import RESAMPLES

    weighted_P = (with_P - without_P) * weights_P
    problems = len(weighted_P)
    draws_RP = np.random.default_rng(0).multinomial(problems, np.full(problems, 1 / problems), RESAMPLES)
    low, high = np.percentile((draws_RP @ weighted_P) / (draws_RP @ weights_P), [2.5, 97.5])
    return {"value": float(weighted_P.sum() / weights_P.sum()), "ci_low": float(low), "ci_high": float(high)}


def unavailable(benchmark: str, settings: Mapping[str, Any], reason: str) -> list[dict[str, Any]]:
    """The numbers of a benchmark that cannot be had, each with the reason in place of a value."""
    rows: list[dict[str, Any]] = []
    for name in ADDED:
        common = {"value": None, "reason": reason, "benchmark": benchmark, "whitespace": name}
        ks = settings["ks"] if settings["samples"] else []
        rows += [{"metric": "pass@k", "k": k, "temperature": "oracle", **common} for k in ks]
        rows.append({"metric": "reference_bits_per_byte", **common})
        if name != NONE:
            rows += [{"metric": "pass@k_change", "k": k, "temperature": "oracle", **common} for k in ks]
            rows.append({"metric": "reference_bits_change", **common})
    return rows


def sampled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of sampling for one benchmark with one kind of white space."""
    return {key: settings[key] for key in ("samples", *SAMPLING)} | {"mutants": 0}


def part_of(benchmark: str, name: str) -> str:
    """HumanEval, "spaces + newline" -> how its files are called."""
    return "".join(c if c.isalnum() else "_" for c in f"{benchmark} {name}")


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: benchmarks (names as in results), problems (the first so many of each), samples and, unless that is 0,
    those of sampling; style of MBPP's prompts, folder with data sets.

    Raises:
        UserError: missing files.
    """
    from mtp.data.vocabulary import Vocabulary
    from mtp.evals import _references
    from mtp.runs import load_run

    model, _ = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    drawn: dict[str, Any] = {}
    for benchmark in settings["benchmarks"]:
        try:
            problems = problems_of(benchmark, settings)
        except Unavailable as error:
            drawn[benchmark] = {"unavailable": str(error)}
            continue
        scored = [problem for problem in problems if problem.reference]
        drawn[benchmark] = {}
        for name, white in ADDED.items():
            found = _references.measure(model, vocabulary, with_added(scored, white), 0)
            drawn[benchmark][name] = {"nats": found.nats}
            if settings["samples"]:
                stem, asked = f"whitespace.{part_of(benchmark, name)}", with_added(problems, white)
                drawn[benchmark][name]["sampled"] = _drawing.draw(
                    stem, asked, model_dir, data_dir, sampled(settings), out_dir, identity
                )
    return drawn


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """Numbers are labelled `benchmark` and `whitespace`; those of pass@k also `k`, at the best temperature.

    Raises:
        UserError: programs that could not be executed.
    """
    import math

    import numpy as np

    from mtp.statistics import estimates

    metrics: list[dict[str, Any]] = []
    told: dict[str, int] = {}
    for benchmark in settings["benchmarks"]:
        try:
            if "unavailable" in drawn[benchmark]:
                raise Unavailable(drawn[benchmark]["unavailable"])
            problems = problems_of(benchmark, settings)
        except Unavailable as error:
            metrics += unavailable(benchmark, settings, str(error))
            continue
        told[benchmark] = len(problems)
        bits: dict[str, np.ndarray] = {}
        passed: dict[tuple[str, int], np.ndarray] = {}
        scored = [problem for problem in problems if problem.reference]
        sizes = np.array([len(problem.reference.encode()) for problem in scored], dtype=np.float64)
        for name, white in ADDED.items():
            labels = {"benchmark": benchmark, "whitespace": name}
            found = drawn[benchmark][name]
            bits[name] = np.array(found["nats"], dtype=np.float64) / math.log(2) / sizes
            value = float((bits[name] * sizes).sum() / sizes.sum())
            metrics.append({"metric": "reference_bits_per_byte", "value": value, **labels, "problems": len(scored)})
            if settings["samples"]:
                stem, asked = f"whitespace_{part_of(benchmark, name)}", with_added(problems, white)
                record = _code.judge(stem, benchmark, asked, found["sampled"], sampled(settings), out_dir, workers)
                counts = record["per_problem"]["passed"].values()
                for k in settings["ks"]:
                    each = [100 * estimates(settings["samples"], counted, k) for counted in counts]
                    passed[name, k] = max(each, key=lambda values: float(values.mean()))
                    best = {"metric": "pass@k", "value": float(passed[name, k].mean()), "k": k, "temperature": "oracle"}
                    metrics.append(best | labels | {"problems": len(problems), "samples": settings["samples"]})
        for name in ADDED:
            if name == NONE:
                continue
            labels = {"benchmark": benchmark, "whitespace": name}
            changed = change(bits[name], bits[NONE], sizes)
            metrics.append({"metric": "reference_bits_change", **changed, **labels, "problems": len(scored)})
            for k in settings["ks"] if settings["samples"] else ():
                changed = change(passed[name, k], passed[NONE, k], np.ones(len(problems)))
                labels |= {"k": k, "temperature": "oracle"}
                metrics.append({"metric": "pass@k_change", **changed, **labels, "problems": len(problems)})
    settings = settings | {"added": dict(ADDED), "problems": told}
    return {"status": "measured", "reason": "", "metrics": metrics, "settings": settings}

"""What all evaluations by execution share: the settings, and the second of their two parts: execute, count, estimate.

The first part, sampling from head 1 and scoring the references, is `mtp.evals._drawing`. Beside its result, an
evaluation writes <name>.samples.jsonl.gz, one record per sample with its verdict. While it samples, finished samples
lie in <name>.partial.jsonl: a killed job continues from there if weights, settings and code are the same.

Below about 100M parameters pass@k is zero. What still tells models apart, in the same file: the shares of samples that
parse, that define what the tests call and that pass at least one assertion, and for the reference solutions their bits
per byte given the prompt and their likelihood rank among mutants (`mtp.evals._references`).

The sandbox is imported by `ready` and `judge` only: a scale's settings are checked without it.
"""

import collections
import gzip
import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtp.atomic import replacing
from mtp.errors import UserError
from mtp.evals._drawing import digest
from mtp.problems import Problem, Unavailable
from mtp.settings import checked, positive

if TYPE_CHECKING:
    import numpy as np

    from mtp.evals._samples import Key
    from mtp.sandbox import Verdict

REQUIRED: dict[str, type] = {
    "samples": int, "temperatures": list, "top_p": float, "max_tokens": int, "ks": list, "batch_size": int,
    "mutants": int,
}  # fmt: skip
OPTIONAL: dict[str, type] = {"problems": int}
METRICS: dict[str, tuple[str, ...]] = {
    "pass@k": ("benchmark", "k", "temperature"),
    "optimal_temperature": ("benchmark", "k"),
    "parses": ("benchmark", "temperature"),
    "defines_entry_point": ("benchmark", "temperature"),
    "passes_an_assertion": ("benchmark", "temperature"),
    "reference_bits_per_byte": ("benchmark",),
    "reference_rank": ("benchmark",),
}
"""What is reported, and the labels that tell its numbers apart."""


def check(
    settings: Mapping[str, Any], required: Mapping[str, type] | None = None, optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Settings of a code evaluation; `required` and `optional` are keys of the benchmark's own.

    Raises:
        UserError: naming the key.
    """
    found = checked(settings, {**REQUIRED, **(required or {})}, {**OPTIONAL, **(optional or {})})
    positive(found, "samples", "max_tokens", "batch_size", "problems")
    for key in ("temperatures", "ks"):
        kind = (int, float) if key == "temperatures" else int
        if not found[key] or not all(isinstance(v, kind) and not isinstance(v, bool) for v in found[key]):
            raise UserError(f"settings: {key}: expected a list of numbers with at least one, got {found[key]!r}")
    for k in found["ks"]:
        if not 1 <= k <= found["samples"]:
            raise UserError(f"settings: ks: pass@{k} needs at least {k} samples, got samples: {found['samples']}")
    if min(found["temperatures"]) < 0 or not 0 < found["top_p"] <= 1:
        raise UserError("settings: temperatures must not be negative, and top_p must be in (0, 1]")
    if found.get("problems", 2) < 2:
        raise UserError("settings: problems: must be at least 2 (the interval is over problems)")
    if found["mutants"] < 0:
        raise UserError(f"settings: mutants: must not be negative, got {found['mutants']}")
    return found


def ready() -> None:
    """Whether programs can be executed here.

    Raises:
        Unavailable: they cannot; says why and what would help.
        UserError: the sandbox gives wrong verdicts.
    """
    from mtp.sandbox import SandboxUnavailable, WrongVerdict, require

    try:
        require()
    except SandboxUnavailable as error:
        raise Unavailable(str(error)) from None
    except WrongVerdict as error:
        raise UserError(str(error)) from None


def metrics_of(
    benchmark: str,
    settings: Mapping[str, Any],
    problems: Sequence[Problem],
    verdicts: Mapping["Key", "Verdict"],
    blank: Set["Key"],
) -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """Rows of pass@k (per temperature, oracle, cross-fitted) and of shares of samples; passing samples per problem.

    Completions of nothing but white space count in no share: with HumanEval's prompt they would make a function.
    """
    from mtp.statistics import cross_fitted, estimates, interval

    temperatures = list(dict.fromkeys(key[0] for key in verdicts))
    samples, indices = settings["samples"], range(len(problems))
    common = {"benchmark": benchmark, "problems": len(problems), "samples": samples}
    passed = {
        t: [sum(verdicts[t, p, s].verdict == "passed" for s in range(samples)) for p in indices] for t in temperatures
    }
    rows: list[dict[str, Any]] = []
    for k in settings["ks"]:
        each = {t: estimates(samples, passed[t], k) for t in temperatures}
        found = {t: interval([each[t]]) for t in temperatures}
        found |= {"oracle": interval(list(each.values())), "cross-fitted": cross_fitted(list(each.values()))}
        for t, (value, low, high) in found.items():
            numbers = {"value": 100 * value, "ci_low": 100 * low, "ci_high": 100 * high}
            rows.append({"metric": "pass@k", "k": k, "temperature": t, **numbers, **common})
        rows.append({"metric": "optimal_temperature", "k": k, **best_temperature(each), **common})
    whole_programs = all(problem.quoted for problem in problems)
    for metric in ("parses", "defines_entry_point", "passes_an_assertion"):
        if whole_programs and metric != "passes_an_assertion":
            continue
        looked_at = [p for p in indices if metric == "passes_an_assertion" or not problems[p].quoted]
        for t in temperatures:
            keys = [(t, p, s) for p in looked_at for s in range(samples)]
            share = [getattr(verdicts[key], metric) and key not in blank for key in keys]
            rows.append({"metric": metric, "temperature": t, "value": 100 * sum(share) / len(share), **common})
    return rows, passed


def best_temperature(each: Mapping[str, "np.ndarray"]) -> dict[str, Any]:
    """The temperature with the highest mean over the problems, the lowest of equals; or why none is the best.

    Args:
        each: temperature -> estimates per problem.
    """
    means = {float(t): float(values.mean()) for t, values in each.items()}
    if len(means) < 2:
        return {"value": None, "reason": f"samples were drawn at one temperature, {next(iter(each))}"}
    if not max(means.values()):
        return {"value": None, "reason": "no sample passes at any temperature"}
    return {"value": max(sorted(means), key=lambda t: means[t])}


def reference_metrics(benchmark: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Bits per byte of the reference solutions, and the mean of their ranks; nothing where there are none.

    Args:
        found: the fields of `mtp.evals._references.References`.
    """
    import math

    import numpy as np

    from mtp.statistics import interval

    rows: list[dict[str, Any]] = []
    nats = [n for n in found["nats"] if n is not None]
    common = {"benchmark": benchmark, "problems": len(nats)}
    if nats:
        size = sum(n for n in found["bytes"] if n is not None)
        rows.append({"metric": "reference_bits_per_byte", "value": math.fsum(nats) / math.log(2) / size, **common})
    ranks = [r for r in found["rank"] if r is not None]
    if len(ranks) > 1:
        value, low, high = interval([np.array(ranks)])
        rows.append({"metric": "reference_rank", "value": value, "ci_low": low, "ci_high": high, **common})
    return rows


def judge(
    name: str,
    benchmark: str,
    problems: Sequence[Problem],
    drawn: Mapping[str, Any],
    settings: dict[str, Any],
    out_dir: Path,
    workers: int,
) -> dict[str, Any]:
    """Execute what was drawn, and estimate.

    Args:
        name: of the evaluation, in the name of its file of samples.
        benchmark: label of its numbers.
        problems: all that the settings select but for `problems`, which keeps the first so many.
        drawn: what `mtp.evals._drawing.draw` returned for the same problems and settings.
        settings: as `check` gives them.
        workers: sandboxes side by side.

    Raises:
        UserError: other problems than those that were drawn from, or programs that could not be executed.
    """
    from mtp.sandbox import run_programs
    from mtp.sandbox.programs import program

    problems = problems[: settings.get("problems")]
    if drawn["problems"] != digest(problems):
        raise UserError(f"{benchmark}: its problems here are not those that the samples were drawn for; draw them anew")
    rows = {(row["temperature"], row["problem"], row["sample"]): row for row in drawn["samples"]}
    programs = [program(problems[p], row["completion"]) for (_, p, _), row in rows.items()]
    verdicts = dict(zip(rows, run_programs(programs, workers), strict=True))
    counts = collections.Counter(verdict.verdict for verdict in verdicts.values())
    if counts["infra"]:
        raise UserError(f"{counts['infra']} programs could not be executed by the sandbox; run the evaluation again")
    lines = []
    for key, row in rows.items():
        record = {"task_id": problems[key[1]].task_id, "sample": key[2], "temperature": key[0]}
        record |= {"seed": drawn["settings"]["seed"]}
        record |= {part: row[part] for part in ("completion", "finish", "tokens")}
        lines.append(json.dumps(record | {"verdict": verdicts[key].verdict, "detail": verdicts[key].detail}) + "\n")
    with replacing(out_dir / f"{name}.samples.jsonl.gz") as temporary:
        temporary.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    blank = {key for key, row in rows.items() if not row["completion"].strip()}
    metrics, passed = metrics_of(benchmark, settings, problems, verdicts, blank)
    references = drawn["references"]
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics + reference_metrics(benchmark, references),
        "settings": {**drawn["settings"], "mutants_in_all": references["mutants"]},
        "verdicts": dict(sorted(counts.items())),
        "finish": dict(sorted(collections.Counter(row["finish"] for row in rows.values()).items())),
        "per_problem": {
            "task_ids": [problem.task_id for problem in problems],
            "samples": settings["samples"],
            "temperatures": list(passed),
            "passed": passed,
            "reference_nats": references["nats"],
            "reference_bytes": references["bytes"],
            "rank": references["rank"],
        },
    }

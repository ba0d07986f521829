"""pass@k by temperature as rows of a result, from how many samples of each question are right."""

from collections.abc import Mapping, Sequence
from typing import Any

from mtp.errors import UserError
from mtp.settings import checked, positive
from mtp.statistics import estimates, interval

REQUIRED: dict[str, type] = {"samples": int, "temperatures": list, "top_p": float, "ks": list, "batch_size": int}
ORACLE = "oracle"


def check(settings: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]) -> dict[str, Any]:
    """Settings of sampling and pass@k; `required` and `optional` are keys of the evaluation's own.

    Raises:
        UserError: naming the key.
    """
    found = checked(settings, {**REQUIRED, **required}, optional)
    positive(found, "samples", "batch_size")
    for key, kind in (("temperatures", (int, float)), ("ks", (int,))):
        if not found[key] or not all(isinstance(v, kind) and not isinstance(v, bool) for v in found[key]):
            raise UserError(f"settings: {key}: expected a list of numbers with at least one, got {found[key]!r}")
    for k in found["ks"]:
        if not 1 <= k <= found["samples"]:
            raise UserError(f"settings: ks: pass@{k} needs at least {k} samples, got samples: {found['samples']}")
    if min(found["temperatures"]) < 0 or not 0 < found["top_p"] <= 1:
        raise UserError("settings: temperatures must not be negative, and top_p must be in (0, 1]")
    return found


def rows(
    labels: Mapping[str, Any], samples: int, passed: Mapping[float, Sequence[int]], ks: Sequence[int]
) -> list[dict[str, Any]]:
    """pass@k in percent with intervals over questions, at each temperature and at the best one ("oracle").

    Args:
        passed: temperature -> right samples of every question; at least two questions.
    """
    found: list[dict[str, Any]] = []
    for k in ks:
        each = {temperature: estimates(samples, counts, k) for temperature, counts in passed.items()}
        asked: dict[float | str, Any] = {temperature: [values] for temperature, values in each.items()}
        for temperature, values in (asked | {ORACLE: list(each.values())}).items():
            value, low, high = interval(values)
            numbers = {"value": 100 * value, "ci_low": 100 * low, "ci_high": 100 * high}
            counts = {"problems": len(values[0]), "samples": samples}
            found.append({"metric": "pass@k", **labels, "k": k, "temperature": temperature, **numbers, **counts})
    return found

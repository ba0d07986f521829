"""The paper's sentences, tested on our runs: does each hold at this scale? No torch here.

    python -m mtp.report.claims --scale cpu      # results/cpu/claims.csv and claims.html

A claim has one of these forms (`mtp.experiment.Claim`):

- `than`: the mean over seeds of paired differences, or of paired ratios less 1 in percent (`relative`), signed so that
  positive is the claim's direction; it is set against 0, or against a margin around 0 (`within`). With `less` the
  difference of another gap is taken off, seed by seed: how much wider the first gap is. So "neither widens nor shrinks"
  holds where the whole interval of that change lies within the margin.
- `above`, `below`: the value of one point, set against a number.
- `near`: the value of a point within a margin of a number, or its difference to what the paper reports within a margin
  of 0; of several points the one that speaks most against it decides.
- `untestable`: a reason why runs cannot tell.

The interval is Student's t over seeds at 95 %, not corrected for the number of claims. Where a step is measured there
are no seeds: the intervals of both sides add up, which is more than 95 %. So they do where all seeds agree on the
effect, as scores of few problems can, since that agreement is no proof. What is counted or computed is exact.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mtp.atomic import write_text
from mtp.errors import UserError
from mtp.experiment import Claim, Experiment, Metric
from mtp.experiment.choosing import chosen, paired
from mtp.report import cli, published
from mtp.report.results import COMPUTED, MEASURED, NOT_TESTABLE, Interval, Measured, Results, t_interval
from mtp.report.templates import render
from mtp.report.tidy import number, to_csv

HOLDS = "holds"
REVERSED = "reversed"
INCONCLUSIVE = "inconclusive"
KNOWN = (MEASURED, COMPUTED)
Pair = tuple[Measured, Measured]


# ---- effects of two sides ----------------------------------------------------------------------------


def per_seed(pairs: Sequence[Pair], relative: bool = False) -> dict[int, float]:
    """Seed -> the difference of the two sides, averaged over the pairs; only seeds that all of them have.

    With `relative` it is the ratio less 1, in percent.

    Raises:
        ZeroDivisionError: a ratio to 0.
    """
    per_pair = []
    for these, than in pairs:
        base = {s.seed: s.value for s in than.samples}
        both = [(s.seed, s.value, base[s.seed]) for s in these.samples if s.seed in base]
        per_pair.append({seed: 100 * (a / b - 1) if relative else a - b for seed, a, b in both})
    seeds = sorted(set.intersection(*(set(d) for d in per_pair))) if per_pair else []
    return {seed: sum(d[seed] for d in per_pair) / len(per_pair) for seed in seeds}


def differences(pairs: Sequence[Pair]) -> list[float]:
    """Per seed the difference of the two sides (`per_seed`)."""
    return list(per_seed(pairs).values())


def apart(a: Interval, b: Interval, relative: bool = False) -> Interval:
    """First less second (or their ratio less 1 in percent), from the intervals of both: the ends that lie furthest
    apart. A ratio is of positive numbers.

    Raises:
        ZeroDivisionError: a ratio to 0.
    """

    def effect(x: float, y: float) -> float:
        return 100 * (x / y - 1) if relative else x - y

    low = None if a.low is None or b.high is None else effect(a.low, b.high)
    high = None if a.high is None or b.low is None else effect(a.high, b.low)
    return Interval(effect(a.mean, b.mean), low, high)


def mean_of(intervals: Sequence[Interval]) -> Interval:
    """The mean, and the means of the ends; no ends where one of them has none."""
    lows = [i.low for i in intervals if i.low is not None]
    highs = [i.high for i in intervals if i.high is not None]
    mean = math.fsum(i.mean for i in intervals) / len(intervals)
    if len(lows) < len(intervals) or len(highs) < len(intervals):
        return Interval(mean, None, None)
    return Interval(mean, math.fsum(lows) / len(lows), math.fsum(highs) / len(highs))


def own_difference(pairs: Sequence[Pair], relative: bool = False) -> Interval:
    """First less second, averaged over the pairs, from their own intervals (`apart`)."""
    return mean_of([apart(value_of(a), value_of(b), relative) for a, b in pairs])


def value_of(measured: Measured) -> Interval:
    """The value of a point; what is computed is exact."""
    interval = measured.interval
    return Interval(interval.mean, interval.mean, interval.mean) if measured.status == COMPUTED else interval


def negative(interval: Interval) -> Interval:
    """The same with the other sign."""
    low, high = interval.low, interval.high
    return Interval(-interval.mean, None if high is None else -high, None if low is None else -low)


# ---- verdicts ----------------------------------------------------------------------------------------


def verdict(interval: Interval, low: float = 0.0, high: float = math.inf) -> tuple[str, str]:
    """Whether the interval lies in [`low`, `high`] (in the open part above 0, for effects): verdict and reason."""
    if interval.low is None or interval.high is None:
        return INCONCLUSIVE, "one seed gives no interval"
    one_sided = math.inf in (-low, high)
    inside = interval.low > low and interval.high < high if one_sided else low <= interval.low <= interval.high <= high
    if inside:
        return HOLDS, ""
    if interval.high < low or interval.low > high:
        return REVERSED, ""
    limits = [f"{end:g}".replace("-", "\N{MINUS SIGN}") for end in (low, high) if math.isfinite(end)]
    return INCONCLUSIVE, f"the interval contains {' or '.join(limits)}"


@dataclasses.dataclass(frozen=True)
class Found:
    """What our runs say to a claim: an effect with its verdict, or the reason why there is none."""

    verdict: str = NOT_TESTABLE
    reason: str = ""
    effect: Interval | None = None
    sides: tuple[Measured, ...] = ()
    published: float | None = None
    seeds: int = 0


def missing(measured: Sequence[Measured]) -> str:
    """Why a claim has no numbers: the first reason; empty where all are there."""
    return next((m.reason or m.status for m in measured if m.status not in KNOWN), "")


@dataclasses.dataclass(frozen=True)
class Sides:
    """Pairs of points whose difference a claim is about, and the paper's mean difference of them."""

    pairs: tuple[Pair, ...]
    published: float | None

    @property
    def known(self) -> list[Pair]:
        """The pairs that have numbers on both sides."""
        return [(a, b) for a, b in self.pairs if a.status in KNOWN and b.status in KNOWN]


def sides_of(
    experiment: Experiment, results: Results, claim: Claim, these: Mapping[str, Any], than: Mapping[str, Any], key: str
) -> Sides:
    """What our runs and the paper's tables say of the pairs of `these` and `than`."""
    pairs = paired(experiment, these, than, (f"{key}.these", f"{key}.than"))
    told = [tuple(published.value(experiment, point, claim.metric) for point in pair) for pair in pairs]
    theirs = [
        100 * (a / b - 1) if claim.relative else a - b
        for a, b in told
        if a is not None and b is not None and (b or not claim.relative)
    ]
    measured = tuple(
        (results.measure(experiment, a, claim.metric), results.measure(experiment, b, claim.metric)) for a, b in pairs
    )
    return Sides(measured, math.fsum(theirs) / len(theirs) if theirs else None)


def gap(sides: Sequence[Sides], relative: bool, own_intervals: bool) -> tuple[Interval, int, str]:
    """The difference of two sides, or of two differences: effect (of the metric as it is), seeds, remark.

    Raises:
        ZeroDivisionError: a ratio to 0.
        ValueError: no seed is on all sides.
    """
    first, *others = (per_seed(s.known, relative) for s in sides)
    values = [first[seed] - sum(o[seed] for o in others) for seed in first if all(seed in o for o in others)]
    if not values:
        raise ValueError("the two sides share no seed")
    agree = len(values) > 1 and math.isclose(min(values), max(values), abs_tol=1e-9)
    if not own_intervals and not agree:
        return t_interval(values), len(values), ""
    effect, *taken_off = (own_difference(s.known, relative) for s in sides)
    for other in taken_off:
        effect = apart(effect, other)
    return effect, len(values), "" if own_intervals else "all seeds agree: the intervals of the sides add up"


def against_points(experiment: Experiment, results: Results, claim: Claim, key: str) -> Found:
    """`these` better than `than`; with `less`, by more than that gap."""
    asked_for = [(claim.these, claim.than or {}, key)]
    if claim.less:
        asked_for.append((claim.less.these, claim.less.than, f"{key}.less"))
    sides = [sides_of(experiment, results, claim, these, than, at) for these, than, at in asked_for]
    sign = 1.0 if experiment.spec.metrics[claim.metric].better == "higher" else -1.0
    theirs = [sign * s.published for s in sides if s.published is not None]
    found = Found(published=theirs[0] - sum(theirs[1:]) if len(theirs) == len(sides) else None)
    lacking = missing([m for s in sides for pair in s.pairs for m in pair])
    # Two gaps are compared over the same points or not at all.
    if not all(s.known for s in sides) or (claim.less and lacking):
        return dataclasses.replace(found, reason=lacking)
    used = tuple(m for s in sides for pair in s.known for m in pair)
    found = dataclasses.replace(found, sides=used)
    if all(s.value == 0 for m in used for s in m.samples):
        return dataclasses.replace(found, reason="every value is 0 at this scale")
    own_intervals = bool(experiment.spec.measure) or all(m.status == COMPUTED for m in used)
    try:
        effect, seeds, remark = gap(sides, claim.relative, own_intervals)
    except ZeroDivisionError:
        return dataclasses.replace(found, reason="the value to compare with is 0 at this scale")
    except ValueError as error:
        return dataclasses.replace(found, reason=str(error))
    effect = effect if sign > 0 else negative(effect)
    said, reason = verdict(effect, -claim.within, claim.within) if claim.within else verdict(effect)
    partly = f"over {len(sides[0].known)} of {len(sides[0].pairs)} pairs of points" if lacking else ""
    reason = "; ".join(filter(None, (reason, remark, partly)))
    return dataclasses.replace(found, verdict=said, reason=reason, effect=effect, seeds=seeds)


def against_number(experiment: Experiment, results: Results, claim: Claim, key: str) -> Found:
    """The value of the one point `these`, above or below a number.

    Raises:
        UserError: several points fit.
    """
    points = chosen(experiment, claim.these, f"{key}.these")
    if len(points) > 1:
        raise UserError(
            f"{experiment.path}: {key}.these: fits {len(points)} points; name more axes, so that one is left"
        )
    paper = published.value(experiment, points[0], claim.metric)
    measured = results.measure(experiment, points[0], claim.metric)
    if measured.status not in KNOWN:
        return Found(reason=missing([measured]), published=paper)
    low = -math.inf if claim.above is None else claim.above
    high = math.inf if claim.below is None else claim.below
    said, reason = verdict(value_of(measured), low, high)
    return Found(said, reason, value_of(measured), (measured,), paper, len(measured.samples))


def against_value(experiment: Experiment, results: Results, claim: Claim, key: str) -> Found:
    """The points `these`, each within a margin of one value; or less what the paper reports of it, and near 0."""
    found: list[Found] = []
    for point in chosen(experiment, claim.these, f"{key}.these"):
        paper = published.value(experiment, point, claim.metric)
        measured = results.measure(experiment, point, claim.metric)
        if measured.status not in KNOWN or (claim.near == "published" and paper is None):
            found.append(Found(reason=missing([measured]) or "the paper reports no value"))
            continue
        effect, wanted = value_of(measured), claim.near
        if claim.near == "published" and paper is not None:
            effect, wanted, paper = apart(effect, Interval(paper, paper, paper)), 0.0, None
        said, reason = verdict(effect, float(wanted or 0) - claim.within, float(wanted or 0) + claim.within)
        found.append(Found(said, reason, effect, (measured,), paper, len(measured.samples)))
    decided = [f for f in found if f.effect is not None]
    if not decided:
        return found[0]
    # The point that speaks most against the claim is shown; all points are its runs.
    worst = min(decided, key=lambda f: (REVERSED, INCONCLUSIVE, HOLDS).index(f.verdict))
    told = [worst.reason, f"the worst of {len(decided)} points" if len(decided) > 1 else ""]
    told.append(f"{len(found) - len(decided)} more have no value" if len(decided) < len(found) else "")
    sides = tuple(m for f in decided for m in f.sides)
    return dataclasses.replace(worst, reason="; ".join(filter(None, told)), sides=sides)


JUDGES = {"than": against_points, "above": against_number, "below": against_number, "near": against_value}


def asked(claim: Claim) -> str:
    """What the effect of a claim is, and what it is set against."""
    match claim.forms[0]:
        case "than":
            level = f", 0 \N{PLUS-MINUS SIGN} {claim.within:g}" if claim.within else ""
            effect = "relative difference, %" if claim.relative else "difference"
            return ("change of the " if claim.less else "") + effect + level
        case "above":
            return f"value, above {claim.above:g}"
        case "below":
            return f"value, below {claim.below:g}"
        case "near":
            start = "difference to the paper's value" if claim.near == "published" else f"value, {claim.near:g}"
            return f"{start} \N{PLUS-MINUS SIGN} {claim.within:g}" if claim.within else start
        case _:
            return ""


def judge(experiment: Experiment, results: Results, index: int) -> dict[str, str]:
    """One row of the claims table, all values as text.

    Raises:
        UserError: a result file is missing, or the claim's points cannot be told; names YAML and key.
    """
    claim = experiment.spec.claims[index]
    form = claim.forms[0]
    if form == "untestable":
        found = Found(reason=claim.untestable)
    else:
        found = JUDGES[form](experiment, results, claim, f"claims.{index}")
    effect = found.effect
    runs = dict.fromkeys(s.run for m in found.sides for s in m.samples if s.run in experiment.configurations)
    return {
        "experiment": experiment.name,
        "label": experiment.spec.label,
        "claim": claim.text,
        "where": claim.where,
        "metric": claim.metric,
        "title": experiment.spec.metrics[claim.metric].title if claim.metric else "",
        "form": asked(claim),
        "stated": claim.stated,
        "published_effect": number(found.published),
        "measured_effect": number(effect.mean if effect else None),
        "ci_low": number(effect.low if effect else None),
        "ci_high": number(effect.high if effect else None),
        "n_seeds": str(found.seeds),
        "verdict": found.verdict,
        "reason": found.reason,
        "minimum_detectable_effect": number(effect.half_width if effect else None),
        "scale": results.scale,
        "runs": " ".join(runs),
    }


COLUMNS = (
    "experiment",
    "label",
    "claim",
    "where",
    "metric",
    "title",
    "form",
    "stated",
    "published_effect",
    "measured_effect",
    "ci_low",
    "ci_high",
    "n_seeds",
    "verdict",
    "reason",
    "minimum_detectable_effect",
    "scale",
    "runs",
)


def judge_all(experiments: Mapping[str, Experiment], results: Results) -> pd.DataFrame:
    """Every claim of every experiment, in paper order."""
    rows = [judge(e, results, i) for e in in_paper_order(experiments) for i in range(len(e.spec.claims))]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def in_paper_order(experiments: Mapping[str, Experiment]) -> list[Experiment]:
    """Paper before ablations, then by the first section named ("Section 3.1"), then by label."""

    def place(experiment: Experiment) -> tuple[Any, ...]:
        named = re.search(r"(?:Sections?|Appendix|Appendices)\s+([\dA-Z][\d.]*)", experiment.spec.section)
        parts = named.group(1).strip(".").split(".") if named else ["Z"]
        section = tuple(int(p) if p.isdigit() else 100 + ord(p[0]) for p in parts)
        label = tuple((int(n), "") if n else (0, t) for n, t in re.findall(r"(\d+)|(\D+)", experiment.spec.label))
        return experiment.path.parent.name != "paper", section, label, experiment.name

    return sorted(experiments.values(), key=place)


def shown(frame: pd.DataFrame, experiments: Mapping[str, Experiment]) -> list[dict[str, str]]:
    """The rows with numbers as people read them, in the digits of the metric (of a relative effect: one)."""
    lines = []
    for row in frame.to_dict("records"):
        metrics: Mapping[str, Metric] = experiments[row["experiment"]].spec.metrics
        digits = 1 if "relative" in row["form"] or not row["metric"] else metrics[row["metric"]].digits
        signed = "" if row["form"].startswith("value") else "+"

        def text(value: str, sign: str = signed, digits: int = digits) -> str:
            return f"{float(value):{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}") if value else ""

        interval = f"[{text(row['ci_low'])}, {text(row['ci_high'])}]" if row["ci_low"] else ""
        if row["ci_low"] == row["ci_high"]:
            interval = "exact" if row["ci_low"] else ""
        lines.append(
            {str(k): str(v) for k, v in row.items()}
            | {
                "paper": text(row["published_effect"]) or row["stated"],
                "ours": text(row["measured_effect"]),
                "interval": interval,
                "detectable": text(row["minimum_detectable_effect"], ""),
                "badge": row["verdict"].split()[0],
            }
        )
    return lines


def work(place: cli.Place) -> None:
    frame = judge_all(place.all, place.measured())
    write_text(place.tables / "claims.csv", to_csv(frame))
    page = render("claims.html", claims=shown(frame, place.all), scale=place.scale, links=False)
    write_text(place.tables / "claims.html", page)


def main(argv: Sequence[str] | None = None) -> None:
    cli.run(work, "mtp.report.claims", __doc__, argv)


if __name__ == "__main__":
    main()

"""Induction success (Section 4.1, Figures 7 and S14): held-out stories with made-up names of two parts, teacher-forced.

A mention counts as right if the first guess of head 1 is right at every token of the second part, given the text up to
there. Asked are made-up names at mentions after the first (the score) and at first mentions (where only chance can be
right), and the names of the unchanged stories, which a model may know by heart: of those of several tokens, all but the
first token. Intervals are over stories.

`preference` is the finer measure for models that are far from the right guess: the share of the other second halves
known for this first half that the model holds for less likely than the right one; a half is chance. (In bytes: of the
other letters that a second half may begin with.)

Beside the last weights it scores the snapshots of a run with `snapshots`, and reports the best of all as the paper
does, which stopped training early on the test metric itself ("epoch oracle").
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtp.settings import checked, positive

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {
    "induction": ("text", "mention", "weights"),
    "preference": ("text", "mention", "weights"),
    "chance": (),
}
"""What is reported, and the labels that tell its numbers apart."""
DRAWS = ("mtp.induction",)
"""Modules whose code decides what is drawn."""
RESAMPLES, LEVEL = 9999, 0.95
ASKED = {"text": "made-up names", "mention": "later"}
"""Labels of the paper's score."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"renamings": int, "characters": int, "batch_size": int}, {})
    positive(found, "renamings", "characters", "batch_size")
    return found


def draw(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, identity: str) -> dict[str, Any]:
    """Settings: renamings (how often every story is asked with other names), characters (of a story's beginning; the
    rest is not asked) and batch_size (windows).

    Raises:
        UserError: missing files, or held-out documents that are no stories with names.
    """
    from mtp import induction

    return induction.draw(model_dir, data_dir, settings["renamings"], settings["characters"], settings["batch_size"])


def judge(
    drawn: Mapping[str, Any], data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int
) -> dict[str, Any]:
    """The numbers, and the reason for the one that a run without snapshots does not have."""
    found = rows(drawn)
    if not drawn["snapshots"]:
        reason = "not evaluated: the run kept no snapshots of its weights"
        found.append({"metric": "induction", **ASKED, "weights": "oracle", "value": None, "reason": reason})
    return {
        "status": "measured",
        "reason": "",
        "metrics": found,
        "settings": {**settings, "context": drawn["context"], "snapshots": drawn["snapshots"]},
    }


def rows(drawn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers that are reported, with their labels and intervals, of what `mtp.induction.draw` returned."""
    (story_Q, seen_Q), (story_known, seen_known) = (
        (np.array(drawn[name]["story"], np.int64), np.array(drawn[name]["seen"], bool)) for name in ("asked", "known")
    )
    right_PQ = np.array(drawn["right"], np.float64)
    preferred_PQ = np.array(drawn["preferred"], np.float64)[None]
    right_known = np.array(drawn["right_known"], np.float64)[None]
    first = {**ASKED, "mention": "first"}
    unchanged = {**ASKED, "text": "unchanged names"}
    found = [
        _row({"metric": "induction", **ASKED, "weights": "last"}, right_PQ[:1], story_Q, seen_Q),
        _row({"metric": "induction", **first, "weights": "last"}, right_PQ[:1], story_Q, ~seen_Q),
        _row({"metric": "induction", **unchanged, "weights": "last"}, right_known, story_known, seen_known),
        _row({"metric": "preference", **ASKED, "weights": "last"}, preferred_PQ, story_Q, seen_Q),
        _row({"metric": "preference", **first, "weights": "last"}, preferred_PQ, story_Q, ~seen_Q),
        {"metric": "chance", "value": drawn["chance"]},
    ]
    if len(right_PQ) > 1:
        found.append(_row({"metric": "induction", **ASKED, "weights": "oracle"}, right_PQ, story_Q, seen_Q))
    return found


def _row(labels: dict[str, Any], score_PQ: np.ndarray, story_Q: np.ndarray, chosen_Q: np.ndarray) -> dict[str, Any]:
    """A number over the chosen questions; why there is none, where none is chosen."""
    if not chosen_Q.any():
        return {**labels, "value": None, "reason": "the held-out stories have no such mention to ask about"}
    value, low, high = best_of(score_PQ[:, chosen_Q], story_Q[chosen_Q])
    interval = {"ci_low": low, "ci_high": high} if np.isfinite([low, high]).all() else {}
    counts = {"positions": int(chosen_Q.sum()), "stories": len(np.unique(story_Q[chosen_Q]))}
    return {**labels, "value": value, **interval, **counts}


def best_of(score_PQ: np.ndarray, story_Q: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean score with its 95 % interval, a percentile bootstrap over stories.

    The mentions of a story share its names and its author, so the story is the unit.

    Args:
        score_PQ: a row for each set of weights P; with several the best counts, inside every resample too.
        story_Q: to which story each question belongs; at least two, or the interval is NaN.
    """
    from scipy import stats

    stories, place_Q = np.unique(story_Q, return_inverse=True)
    asked_K = np.bincount(place_Q)
    score_PK = np.stack([np.bincount(place_Q, weights=score_Q) for score_Q in score_PQ])

    def best(k_XK: np.ndarray, axis: int = -1) -> np.ndarray:
        """Of resamples X of the stories."""
        k = np.moveaxis(np.asarray(k_XK, np.int64), axis, -1)
        found: np.ndarray = (score_PK[:, k].sum(-1) / asked_K[k].sum(-1)).max(0)
        return found

    every_K = np.arange(len(stories))
    if len(stories) < 2:
        return float(best(every_K)), float("nan"), float("nan")
    interval = stats.bootstrap(
        (every_K,), best, n_resamples=RESAMPLES, method="percentile", confidence_level=LEVEL,
        rng=np.random.default_rng(seed), batch=1000, vectorized=True,
    ).confidence_interval  # fmt: skip
    return float(best(every_K)), float(interval.low), float(interval.high)

"""Benchmarks of natural language through the `lm-eval` harness over training steps (Figures 5 and S12).

Tasks, their prompts and their metrics are the harness's; answers come from `mtp.lm_eval`. Scored are the last weights
and the snapshots of a run, at `training_step`; the last ones also as `training_step: last`, and those after half of the
steps as `half`. `accuracy` is the first of `PREFERRED` that a task reports, in percent; the others are reported under
their own names. `average_accuracy` is the mean over all tasks. The paper does not say how many examples stand before a
question, nor how likelihoods are normalised: `shots` is a setting, and normalised likelihoods are preferred where the
harness has them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.errors import UserError
from mtp.progress import bar
from mtp.settings import checked, positive

VERSION = 1
PREFERRED = ("acc_norm", "acc", "exact_match")
LAST, HALF = "last", "half"
METRICS: dict[str, tuple[str, ...]] = {
    "accuracy": ("task", "measure", "training_step"),
    "average_accuracy": ("training_step",),
    **dict.fromkeys(PREFERRED, ("task", "training_step")),
}
"""What is reported, and the labels that tell its numbers apart."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"tasks": list, "shots": int, "batch_size": int}, {"questions": int, "include": str})
    positive(found, "batch_size", "questions")
    if not found["tasks"] or not all(isinstance(task, str) for task in found["tasks"]):
        raise UserError(f"settings: tasks: expected a list of names with at least one, got {found['tasks']!r}")
    if found["shots"] < 0:
        raise UserError(f"settings: shots: must not be negative, got {found['shots']}")
    return found


def ready(settings: Mapping[str, Any]) -> None:
    """Whether the harness and a hub are here.

    Raises:
        Unavailable: they are not; says why and what would help.
    """
    from mtp.lm_eval import require

    require(hub=not settings.get("include"))


def names(step: int, steps: int) -> list[int | str]:
    """What weights after `step` of `steps` are called: by the step, and the last and the middle ones by a word too."""
    return [step, *([LAST] if step == steps else []), *([HALF] if 2 * step == steps else [])]


def rows(found: Mapping[str, Mapping[str, float]], step: int | str) -> list[dict[str, Any]]:
    """Numbers of one set of weights in percent.

    Raises:
        UserError: a task that reports none of `PREFERRED`.
    """
    told: list[dict[str, Any]] = []
    chosen = []
    for task, numbers in found.items():
        shown = [name for name in PREFERRED if name in numbers]
        if not shown:
            raise UserError(f"settings: tasks: {task} reports none of {', '.join(PREFERRED)} but {', '.join(numbers)}")
        labels = {"task": task, "training_step": step}
        chosen.append(100 * numbers[shown[0]])
        told.append({"metric": "accuracy", **labels, "measure": shown[0], "value": chosen[-1]})
        told += [{"metric": name, **labels, "value": 100 * numbers[name]} for name in shown]
    told.append({"metric": "average_accuracy", "training_step": step, "value": sum(chosen) / len(chosen)})
    return told


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: tasks (the harness's names), shots (examples before each question), batch_size (completions side by
    side), questions (only the first so many of each task) and include (a folder with further tasks).

    Raises:
        UserError: missing files, an unknown task or data that cannot be loaded.
    """
    from safetensors.torch import load_file

    from mtp import snapshots
    from mtp.data.vocabulary import Vocabulary
    from mtp.lm_eval import Scorer, evaluate
    from mtp.runs import load_run

    model, config = load_run(model_dir)
    scorer = Scorer(model, Vocabulary.load(data_dir), settings["batch_size"])
    steps = sorted(snapshots.steps(config)) if snapshots.found(model_dir, config) else []
    metrics: list[dict[str, Any]] = []
    for step in bar([config.steps, *steps], desc=f"lm_eval {model_dir.name}", unit="weights"):
        if step != config.steps:
            model.load_state_dict(load_file(snapshots.path(model_dir, step)))
        found = evaluate(
            scorer, settings["tasks"], settings.get("include", ""), settings["shots"], settings.get("questions")
        )
        metrics += [row for name in names(step, config.steps) for row in rows(found, name)]
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {**settings, "context": config.context, "snapshots": steps},
    }

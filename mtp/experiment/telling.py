"""What experiments will run and about how long that takes, in words. No torch here."""

from collections.abc import Mapping

from mtp.experiment.points import Experiment, all_runs
from mtp.experiment.scale import Scale
from mtp.units import amount


def duration(seconds: float) -> str:
    """Minutes, or hours from two on."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"


def summary(experiments: Mapping[str, Experiment], scale: Scale, cores: int = 1) -> str:
    """What will run, how large it is and about how long it takes, a line per experiment.

    Times come from the FLOPs of training at the scale's `flops_per_second`; where runs take GPUs they are GPU hours.
    Experiments share runs, so their times add up to more than the whole.
    """
    runs = all_runs(experiments)
    flops = sum(run.flops for run in runs.values())
    seconds = flops / scale.flops_per_second
    jobs = f"{duration(seconds / max(1, cores))} with {cores} job(s) side by side"
    lines = [
        f"Scale {scale.scale}: {scale.about}",
        f"{len(experiments)} experiments share {len(runs)} training runs"
        f" ({amount(sum(run.tokens for run in runs.values()))} tokens, {flops:.2e} FLOPs); all of it takes about"
        f" {f'{seconds / 3600:,.0f} GPU hours' if scale.gpus_per_run else jobs}, less what is done already.",
    ]
    for name, experiment in experiments.items():
        configurations = experiment.configurations.values()
        not_run = sum(1 for p in experiment.points if p.skipped)
        told = f"{len(configurations):>4} {'steps measured' if experiment.spec.measure else 'runs'}"
        if experiment.runs:
            weights = sorted(run.parameters for run in configurations)
            sizes = " to ".join(dict.fromkeys(amount(w) for w in (weights[0], weights[-1])))
            hours = sum(run.flops for run in configurations) / scale.flops_per_second
            time = f"{hours / 3600:,.0f} GPU hours" if scale.gpus_per_run else duration(hours)
            told += f" of {sizes} weights, {amount(sum(run.tokens for run in configurations))} tokens, {time}"
        rest = f", {not_run} grid points not run at this scale" if not_run else ""
        lines.append(f"  {name:<16}{told}{rest}: {experiment.spec.title}")
    return "\n".join(lines)

"""What the metrics, figures, claims and comparisons of an experiment ask for can be had. No torch here.

Each would stop its table or figure in the end; said before the first job, it costs no training.
"""

from mtp import evals
from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment.choosing import chosen, paired, points_of
from mtp.experiment.points import Experiment


def check_asked(experiment: Experiment) -> None:
    """
    Raises:
        UserError: naming file and key: a metric that no evaluation of the experiment reports, or a label that it does
            not carry; an axis or a value of one that no grid point has.
    """
    points_of(experiment)
    _check_metrics(experiment)
    _check_figures(experiment)
    _check_claims(experiment)
    for i, comparison in enumerate(experiment.spec.comparisons):
        chosen(experiment, {**comparison.where, comparison.axis: comparison.baseline}, f"comparisons.{i}.baseline")


def _reported(experiment: Experiment) -> dict[str, dict[str, tuple[str, ...]]]:
    """Evaluation -> metric -> labels."""
    return {name: evals.module_of(name).METRICS for name in experiment.spec.evals}


def _check_metrics(experiment: Experiment) -> None:
    """Measures take seconds to minutes and are left to say themselves what they do not report."""
    if experiment.spec.measure:
        return
    reported = _reported(experiment)
    known = dict.fromkeys(metric for metrics in reported.values() for metric in metrics)
    for key, metric in experiment.spec.metrics.items():
        if metric.computed_at:
            continue
        at = f"{experiment.path}: metrics.{key}"
        if metric.metric not in known:
            told = "; ".join(f"{name}: {', '.join(metrics)}" for name, metrics in reported.items()) or "evals is empty"
            hint = nearest(metric.metric, known)
            raise UserError(f"{at}.metric: no evaluation asked for reports {metric.metric!r}{hint} ({told})")
        labels = dict.fromkeys(label for metrics in reported.values() for label in metrics.get(metric.metric, ()))
        for label in metric.where:
            if label not in labels:
                told = f"{nearest(label, labels)} (labels: {', '.join(labels) or 'none'})"
                raise UserError(f"{at}.where: {metric.metric} has no label {label!r}{told}")


def _check_figures(experiment: Experiment) -> None:
    """Of a figure the axes; `x` and others may be labels of numbers too, such as the temperature."""
    labels = {label for metrics in _reported(experiment).values() for found in metrics.values() for label in found}
    known = [*dict.fromkeys(axis for point in experiment.points for axis in point.axes), *sorted(labels)]
    for i, figure in enumerate(experiment.spec.figures):
        for key in ("x", "hue", "panels"):
            axis = getattr(figure, key)
            if axis is not None and axis not in known:
                raise UserError(f"{experiment.path}: figures.{i}.{key}: no axis {axis!r}{nearest(axis, known)}")
        for key in ("baseline", "against"):
            if where := getattr(figure, key):
                chosen(experiment, where, f"figures.{i}.{key}")


def _check_claims(experiment: Experiment) -> None:
    for i, claim in enumerate(experiment.spec.claims):
        key = f"claims.{i}"
        if claim.forms == ["untestable"]:
            continue
        if claim.than is None:
            chosen(experiment, claim.these, f"{key}.these")
            continue
        gaps = [(key, claim.these, claim.than)]
        if claim.less:
            gaps.append((f"{key}.less", claim.less.these, claim.less.than))
        for at, these, than in gaps:
            paired(experiment, these, than, (f"{at}.these", f"{at}.than"))

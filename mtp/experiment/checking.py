"""One experiment's YAML, and what its keys' types alone would let through. No torch here."""

import re
from pathlib import Path

from mtp import floors, measures
from mtp.config import nearest
from mtp.errors import UserError
from mtp.experiment.reading import read_yaml, validate
from mtp.experiment.spec import PER_PROBLEM, Claim, Spec
from mtp.report import kinds

WORD = re.compile(r"[A-Za-z0-9_-]+")


def load_spec(path: Path) -> Spec:
    """One experiment's YAML.

    Raises:
        UserError: naming file and key.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys such as title, base, grid; the file holds none")
    spec = validate(Spec, values, path)
    bases = {"base": spec.base, "start": spec.start}
    for name, arm in spec.arms.items():
        bases |= {f"arms.{name}.base": arm.base, f"arms.{name}.start": arm.start}
    for where, base in bases.items():
        if "seed" in base:
            raise UserError(
                f"{path}: {where}.seed: seeds come from the scale; to choose them, make seed an axis of the grid"
            )
    if len(spec.model_fields_set & {"evals", "measure"}) != 1:
        raise UserError(
            f"{path}: evals, measure: an experiment has either evals (of trained models) or a measure (of steps)"
        )
    if spec.measure and spec.measure not in measures.names():
        known = measures.names()
        raise UserError(
            f"{path}: measure: unknown {spec.measure!r}{nearest(spec.measure, known)} (known: {', '.join(known)})"
        )
    if spec.grid and spec.arms:
        raise UserError(f"{path}: grid: an experiment has either a grid or arms (each with its grid), not both")
    for key, asked in spec.metrics.items():
        if asked.computed_at and asked.metric not in floors.ARITHMETIC:
            hint = f"{nearest(asked.metric, floors.ARITHMETIC)} (known: {', '.join(floors.ARITHMETIC)})"
            raise UserError(f"{path}: metrics.{key}.metric: no arithmetic is called {asked.metric!r}{hint}")
    for i, claim in enumerate(spec.claims):
        _check_claim(f"{path}: claims.{i}", claim, spec)
    for i, comparison in enumerate(spec.comparisons):
        where = f"{path}: comparisons.{i}.metric"
        if comparison.metric not in spec.metrics:
            raise UserError(f"{where}: unknown {comparison.metric!r}{nearest(comparison.metric, spec.metrics)}")
        if (name := spec.metrics[comparison.metric].metric) not in PER_PROBLEM:
            raise UserError(f"{where}: {name} has no value per problem (those that have: {', '.join(PER_PROBLEM)})")
    _check_names(path, spec)
    for i, figure in enumerate(spec.figures):
        if figure.kind not in kinds.names():
            hint = f"{nearest(figure.kind, kinds.names())} (known: {', '.join(kinds.names())})"
            raise UserError(f"{path}: figures.{i}.kind: unknown {figure.kind!r}{hint}")
        for metric in figure.metrics:
            if metric not in spec.metrics:
                raise UserError(f"{path}: figures.{i}.metrics: unknown {metric!r}{nearest(metric, spec.metrics)}")
    sources = {"published": spec.published} | {
        f"figures.{i}.published": f.published for i, f in enumerate(spec.figures)
    }
    for key, source in sources.items():
        if source and not (path.parent / source.file).exists():
            raise UserError(f"{path}: {key}.file: {source.file} is not beside the YAML")
    return spec


def _check_names(path: Path, spec: Spec) -> None:
    """Names that files bear."""
    said = "letters, digits, - and _ only, since files are called so"
    if not WORD.fullmatch(path.stem):
        raise UserError(f"{path}: the name of an experiment: {said}")
    for i, figure in enumerate(spec.figures):
        if not WORD.fullmatch(figure.name):
            raise UserError(f"{path}: figures.{i}.name: {figure.name!r}: {said}")
        if figure.name in [before.name for before in spec.figures[:i]]:
            raise UserError(f"{path}: figures.{i}.name: {figure.name} stands twice")


def check_scales(path: Path, spec: Spec, root: Path) -> None:
    """Only scales that there are have an `at`.

    Raises:
        UserError: naming file and key.
    """
    scales = [file.stem for file in sorted((root / "scales").glob("*.yaml"))]
    for where, restrictions in (("at", spec.at), *((f"arms.{name}.at", arm.at) for name, arm in spec.arms.items())):
        for scale in restrictions:
            if scale not in scales:
                raise UserError(f"{path}: {where}.{scale}: no such scale{nearest(scale, scales)}")


def _check_claim(key: str, claim: Claim, spec: Spec) -> None:
    """One form, the keys that belong to it, and a metric to measure it by."""
    if len(claim.forms) != 1:
        told = " and ".join(claim.forms) or "none of them"
        raise UserError(f"{key}: needs exactly one of than, above, below, near and untestable, and has {told}")
    form = claim.forms[0]
    for word, belongs_to in (("less", ["than"]), ("relative", ["than"]), ("within", ["than", "near"])):
        if getattr(claim, word) and form not in belongs_to:
            raise UserError(f"{key}.{word}: belongs to a claim with {' or '.join(belongs_to)}, not to one with {form}")
    if form != "untestable" and claim.metric not in spec.metrics:
        raise UserError(f"{key}.metric: unknown {claim.metric!r}{nearest(claim.metric, spec.metrics)}")

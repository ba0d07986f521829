"""A YAML and a scale in, grid points and runs out. No torch here.

Values are resolved in this order, later wins: defaults of `RunConfig`, `defaults` of the scale, the model of the run
that it starts from, the rungs (`size`, `recipe`) looked up in the scale, `base` of the experiment, `base` of the arm,
the grid point.
"""

import functools
import itertools
from pathlib import Path
from typing import Any

from mtp import evals as evaluations
from mtp import floors, imported, lineage, machine
from mtp.config import RunConfig, nearest
from mtp.errors import UserError
from mtp.experiment.asking import check_asked
from mtp.experiment.checking import check_scales, load_spec
from mtp.experiment.points import Experiment, Point
from mtp.experiment.reading import EXPERIMENTS
from mtp.experiment.returned import is_elsewhere, returned
from mtp.experiment.scale import RUNGS, Scale, known_rungs, load_scale
from mtp.experiment.spec import HERE, START, Arm, Restriction

RANDOM_TOKENS = "random"
"""What stands for the corpus where the grid points are measured, not trained."""


def _resolve(
    path: Path,
    key: str,
    values: dict[str, Any],
    scale: Scale,
    root: Path,
    measured: bool = False,
    parent: RunConfig | None = None,
) -> dict[str, Any] | str:
    """Flat values of a run without its seed, or the reason why this scale does not run it.

    Measured steps read random tokens, so that they need no corpus and may name a vocabulary that nobody has trained.
    What starts from another run inherits its model.
    """
    flat: dict[str, Any] = dict(scale.defaults) | (lineage.inherited(parent) if parent else {})
    if measured:
        flat["corpus"] = RANDOM_TOKENS
        if (word := values.get("vocabulary")) is not None and str(word) not in known_rungs("vocabulary", scale, root):
            flat["vocabulary"] = word
            values = {k: v for k, v in values.items() if k != "vocabulary"}
    for rung in RUNGS:
        if rung not in values:
            if rung in ("corpus", "vocabulary") and rung not in flat:
                raise UserError(f"{path}: {key}: {rung}: missing")
            continue
        word = str(values[rung])
        table: dict[str, Any] = getattr(scale, RUNGS[rung])
        if word not in table:
            known = known_rungs(rung, scale, root)
            if word not in known:
                raise UserError(
                    f"{path}: {key}: {rung}: no scale knows {word!r}{nearest(word, known)} (known: {', '.join(known)})"
                )
            return f"{rung} {word} is not run at the {scale.scale} scale"
        if isinstance(table[word], dict):
            flat.update(table[word])
        else:
            flat[rung] = table[word]
    for name, value in values.items():
        if name not in RUNGS:
            if name not in RunConfig.names():
                raise UserError(f"{path}: {key}: {name}: unknown key{nearest(name, (*RunConfig.names(), *RUNGS))}")
            flat[name] = value
    if parent:
        flat.setdefault("layers", lineage.layers_of_child(parent, flat))
        flat["init_from"] = parent.name()
    if (checkpoint := str(flat.get("checkpoint", ""))) and not measured:
        return imported.lacking(checkpoint, str(flat["vocabulary"])) or flat
    return flat


def _check_restriction(where: str, restriction: Restriction, grids: list[dict[str, list[Any]]]) -> None:
    """Values that a scale keeps must be values of the grid (of some arm's, for the whole experiment)."""
    for axis, kept in restriction.grid.items():
        choices = [value for grid in grids for value in grid.get(axis, [])]
        if not choices:
            raise UserError(f"{where}.{axis}: not an axis{nearest(axis, [key for grid in grids for key in grid])}")
        for value in kept:
            if value not in choices:
                raise UserError(f"{where}.{axis}: {value!r} is not in the grid")


def _lacking(path: Path, *restrictions: Restriction) -> str:
    """Why this machine cannot run it; empty if it can."""
    for need in (restriction.needs for restriction in restrictions if restriction.needs):
        if need not in machine.NEEDS:
            hint = f"{nearest(need, machine.NEEDS)} (known: {', '.join(machine.NEEDS)})"
            raise UserError(f"{path}: needs: unknown {need!r}{hint}")
        if reason := machine.NEEDS[need]():
            return reason
    return ""


def resolve(path: Path, scale: Scale, root: Path = EXPERIMENTS, restricted: bool = True) -> Experiment:
    """One experiment at one scale; with `restricted` False also the points that `at` leaves out.

    Raises:
        UserError: naming file and key, for unknown keys, impossible grid points, unknown rungs and what cannot be had.
    """
    spec = load_spec(path)
    check_scales(path, spec, root)
    whole = scale.of(path.stem, spec.at) if restricted else Restriction()
    evals = tuple(whole.evals if whole.evals is not None else spec.evals)
    for name in spec.evals:
        known = evaluations.names()
        if name not in known:
            raise UserError(f"{path}: evals: unknown {name!r}{nearest(name, known)} (known: {', '.join(known)})")
        if name in evals and not whole.skip and name not in scale.evals:
            raise UserError(f"{root}/scales/{scale.scale}.yaml: evals: {name} is missing; {path} asks for it")
    if spec.measure and not whole.skip and spec.measure not in scale.measures:
        raise UserError(f"{root}/scales/{scale.scale}.yaml: measures: {spec.measure} is missing; {path} asks for it")
    arms = spec.arms or {"": Arm(base={}, grid=spec.grid)}
    for arm_name, arm in arms.items():
        known_keys = (*RunConfig.names(), *RUNGS)
        for key, choices in arm.grid.items():
            where = f"{path}: arms.{arm_name}.grid.{key}" if arm_name else f"{path}: grid.{key}"
            if key.removeprefix(START) not in known_keys:
                raise UserError(f"{where}: unknown key{nearest(key, known_keys)}")
            if not choices:
                raise UserError(f"{where}: needs a list with at least one value")
    _check_restriction(f"{path}: at.{scale.scale}.grid", whole, [arm.grid for arm in arms.values()])
    points: list[Point] = []
    for arm_name, arm in arms.items():
        where = f"arms.{arm_name}" if arm_name else "grid"
        part = scale.at(arm.at) if restricted else Restriction()
        seeds = part.seeds or whole.seeds or (scale.seeds[:1] if spec.measure else scale.seeds)
        _check_restriction(f"{path}: {where}.at.{scale.scale}.grid", part, [arm.grid])
        for combination in itertools.product(*arm.grid.values()):
            grid = dict(zip(arm.grid, combination, strict=True))
            own = {k: v for k, v in grid.items() if not k.startswith(START)}
            values = {**spec.base, **whole.base, **arm.base, **part.base, **own}
            begun = {**spec.start, **arm.start}
            begun |= {k.removeprefix(START): v for k, v in grid.items() if k.startswith(START)}
            axes = ({"arm": arm_name} if arm_name else {}) | {k: v for k, v in values.items() if k != "seed"}
            axes |= {f"{START}{k}": v for k, v in begun.items()}
            published = dict(arm.published)
            if spec.published:
                published |= {col: axes[axis] for col, axis in spec.published.axes.items() if axis in axes}
            reason = part.skip or whole.skip or _lacking(path, whole, part)
            for axis, allowed in (whole.grid | part.grid).items():
                if axis in grid and grid[axis] not in allowed:
                    reason = reason or f"{axis} {grid[axis]} is not run at the {scale.scale} scale"
            told = {k: v for k, v in values.items() if k != "seed"}
            before = _resolve(path, f"{where}.start", begun, scale, root) if begun else None
            if isinstance(before, str):
                reason = reason or before
            runs: list[RunConfig] = []
            starts: list[RunConfig] = []
            drawn = seeds[:1] if told.get("checkpoint") else seeds  # of weights that are there is one set
            for seed in [grid["seed"]] if "seed" in grid else drawn:
                try:
                    if reason and begun:
                        break  # the start of a point that is not run need not be possible at this scale
                    parent = None
                    if isinstance(before, dict):
                        begins = seeds[0] if before.get("checkpoint") else seed
                        parent = RunConfig.from_dict({**before, "seed": begins}).canonical()
                    flat = None
                    if not isinstance(before, str):
                        flat = _resolve(path, where, told, scale, root, bool(spec.measure), parent)
                    if isinstance(flat, str):
                        reason = reason or flat
                    if reason or not isinstance(flat, dict):
                        break
                    runs.append(RunConfig.from_dict({**flat, "seed": seed}).canonical())
                    if parent:
                        lineage.check(parent, runs[-1])
                        starts.append(parent)
                except UserError as error:
                    if str(error).startswith(f"{path}:"):
                        raise
                    shown = f" ({', '.join(f'{k}: {v}' for k, v in grid.items())})" if grid else ""
                    raise UserError(f"{path}: {where}{shown}: {error}") from None
            points.append(Point(arm_name, axes, published, tuple(runs), reason, tuple(starts)))
    found = Experiment(path.stem, path, spec, scale.scale, evals, tuple(points))
    check_asked(found)
    return found


def computed(experiment: Experiment, point: Point, key: str) -> float | str:
    """A metric with `computed_at`: its value for what the point is at that scale, or why there is none.

    Raises:
        UserError: no such scale.
    """
    metric, same = experiment.spec.metrics[key], point
    if metric.computed_at != HERE:
        # By place, since `at` may give the same point other axes at another scale.
        same = _elsewhere(experiment.path, metric.computed_at).points[experiment.points.index(point)]
    return floors.ARITHMETIC[metric.metric](same.runs[0]) if same.runs else same.skipped


@functools.cache
def _elsewhere(path: Path, scale: str) -> Experiment:
    root = path.parent.parent
    return resolve(path, load_scale(scale, root), root, restricted=False)


def load_all(scale: Scale, root: Path = EXPERIMENTS, results: Path | None = None) -> dict[str, Experiment]:
    """All experiments of `experiments/paper` and `experiments/ablations`, by name.

    Args:
        results: results/<scale>; where results of another machine lie in it, only what came back is run here.

    Raises:
        UserError: on the first bad file, or when two files have one name.
    """
    found: dict[str, Experiment] = {}
    for folder in ("paper", "ablations"):
        for path in sorted((root / folder).glob("*.yaml")):
            if path.stem in found:
                raise UserError(f"{path}: {found[path.stem].path} has the same name; rename one of them")
            found[path.stem] = resolve(path, scale, root)
    if results is not None and is_elsewhere(results):
        return {name: returned(experiment, scale, results) for name, experiment in found.items()}
    return found

"""Experiments: YAML and scale in, runs out. No torch here; Snakemake reads this at parse time.

A YAML file is an experiment; a grid point of it is trained once per seed; a run is named by its
configuration (`mtp.config`), so experiments share runs. An experiment with `measure` trains nothing: its grid
points are configurations whose step is timed or weighed. With `start` its runs begin with the weights of other runs,
whose model they inherit. Values are resolved in this order, later wins: defaults of `RunConfig`, `defaults` of the
scale, the model of the run that it starts from, the rungs (`size`, `recipe`) looked up in the scale, `base` of the
experiment, `base` of the arm, the grid point.

    python -m mtp.experiment --scale cpu            # list what would run
    python -m mtp.experiment --scale cpu table1     # one experiment, point by point
"""

import argparse
import dataclasses
import functools
import itertools
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mtp import evals as evaluations
from mtp import floors, imported, lineage, machine, measures
from mtp.config import RunConfig, nearest
from mtp.errors import UserError
from mtp.units import amount

EXPERIMENTS = Path("experiments")
RANDOM_TOKENS = "random"
"""What stands for the corpus where the grid points are measured, not trained."""
HERE = "here"
"""`computed_at` of arithmetic on the point itself."""
PER_PROBLEM = ("pass@k", "reference_bits_per_byte", "reference_rank")
"""Metrics that evaluations report problem by problem too, so that models can be compared on the same problems."""
START = "start."
"""Prefix of grid keys that belong to the run that a grid point starts from."""
RUNGS = ("size", "recipe", "vocabulary", "corpus")
"""Grid keys that are words of the paper ("6.7B", "200B tokens"); a scale says what each stands for."""


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(Strict):
    """What "small" means: one file in `experiments/scales/`."""

    scale: str
    about: str
    seeds: list[int]
    corpora: dict[str, str]
    """Corpus named by experiments -> file in `experiments/corpora/`."""
    vocabularies: dict[str, str]
    sizes: dict[str, dict[str, Any]]
    recipes: dict[str, dict[str, Any]]
    defaults: dict[str, Any] = {}
    evals: dict[str, dict[str, Any]]
    measures: dict[str, dict[str, Any]] = {}
    gpus_per_run: int = 0
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How the GPUs of a run share it, if it has several: `mtp/parallel/`."""
    checkpoint_seconds: int = 60
    flops_per_second: float
    """Training FLOPs over job seconds of everything, evaluations included: for the estimate printed at the start."""


class Metric(Strict):
    """A number that an evaluation reports, chosen by its name and its labels."""

    title: str
    metric: str
    where: dict[str, str | int | float] = {}
    better: Literal["lower", "higher", "neither"] = "lower"
    digits: int = 2
    published: dict[str, str | int | float] | None = None
    """Columns that select the paper's value; none: the paper does not report this metric."""
    published_value: str = ""
    """Column that holds the paper's value, where it is not the one that the experiment names."""
    computed_at: str = ""
    """`here` or a scale: `metric` names arithmetic (`mtp/floors.py`) on what the point is at that scale."""


class Published(Strict):
    """Where the paper's numbers lie: a CSV beside the YAML."""

    file: str
    value: str = "value"
    axes: dict[str, str] = {}
    """Column of the CSV -> axis of the experiment, for example {n: n_future}."""
    low: str = ""
    high: str = ""
    """Columns of the paper's interval; none by default."""
    mean_over: str = ""
    """Column that tells apart rows whose values are averaged, for example the paper's two runs; none by default."""
    level: int = 95
    """Percent that the paper's interval covers."""


class Restriction(Strict):
    """What a smaller scale runs of an arm or an experiment; the rest is shown as not run at this scale."""

    skip: str | None = None
    """Run nothing of it, for this reason."""
    grid: dict[str, list[Any]] = {}
    """Axis -> the values that are run."""
    base: dict[str, Any] = {}
    """Values that this scale takes instead of those of the experiment's (or the arm's) own `base`."""
    needs: str = ""
    """Run it only on a machine that has this (`mtp/machine.py`)."""
    evals: list[str] | None = None
    seeds: list[int] | None = None


class Arm(Strict):
    """A grid of its own within an experiment."""

    base: dict[str, Any] = {}
    start: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    published: dict[str, str | int | float] = {}
    """Columns of the paper's CSV that hold for the whole arm."""
    at: dict[str, Restriction] = {}


class Figure(Strict):
    """One figure; `kind` names a file in `mtp/report/kinds/`."""

    name: str
    kind: str
    title: str = ""
    metrics: list[str] = []
    x: str | None = None
    hue: str | None = None
    panels: str | None = None
    baseline: dict[str, Any] = {}
    """The points that differences are taken against."""
    against: dict[str, Any] = {}
    """The points whose difference to the baseline is drawn."""
    published: Published | None = None
    """Where the paper's differences lie; default: differences of its values."""
    caption: str = ""


class Claim(Strict):
    """A sentence of the paper that can hold or not.

    With `than`: the points `these` are better than the points `than` (or level with them, `within` a margin). Without:
    the one point `these` lies `above` or `below` a number, or the points lie `near` one (or near the paper's own
    values). With `untestable`: no run of ours could tell, for this reason.
    """

    text: str
    where: str
    row: str = ""
    """The line of the paper's list of claims (text_claims.csv, column `claim`) that this is, if it is one."""
    stated: str = ""
    """What the paper states, in its words, where its tables do not give the effect."""
    metric: str = ""
    these: dict[str, Any] = {}
    than: dict[str, Any] | None = None
    relative: bool = False
    """The effect is the ratio of `these` to `than`, less 1, in percent."""
    above: float | None = None
    below: float | None = None
    near: float | Literal["published"] | None = None
    within: float = 0.0
    """How far from `near` is near enough; with `than`, up to which effect either way both sides are level."""
    untestable: str = ""

    @property
    def forms(self) -> list[str]:
        """Which of the forms the keys spell; one of them must."""
        keys = ("than", "above", "below", "near", "untestable")
        return [key for key in keys if getattr(self, key) not in (None, "")]


class Comparison(Strict):
    """Models on the same problems: every value of an axis against one of them."""

    metric: str
    """One that has a value per problem (`PER_PROBLEM`)."""
    axis: str
    baseline: str | int | float
    where: dict[str, Any] = {}
    """Axis values of the points that take part; default: all."""


class Spec(Strict):
    """The YAML of an experiment, key by key (documented in experiments/README.md)."""

    label: str
    title: str
    section: str = ""
    note: str = ""
    base: dict[str, Any] = {}
    start: dict[str, Any] = {}
    """The run, in the words of `base`, whose weights every run starts from, seed by seed; default: random weights."""
    grid: dict[str, list[Any]] = {}
    arms: dict[str, Arm] = {}
    at: dict[str, Restriction] = {}
    evals: list[str] = []
    measure: str = ""
    """A file in `mtp/measures/`, instead of `evals`: the points are measured configurations, not trained models."""
    published: Published | None = None
    metrics: dict[str, Metric]
    rows: list[str] = []
    """Axes that name a row of the table; default: all axes of the grids."""
    figures: list[Figure] = []
    claims: list[Claim] = []
    comparisons: list[Comparison] = []


@dataclasses.dataclass(frozen=True)
class Point:
    """One grid point: a row of the table, trained once per seed."""

    arm: str
    axes: dict[str, Any]
    """Axis -> value, in the paper's words (size, recipe, vocabulary, n_future, ...); without the seed."""
    published: dict[str, Any]
    """Columns that select this point's rows in the paper's CSV."""
    runs: tuple[RunConfig, ...]
    """One per seed, a single one where points are measured; empty when the point is not run."""
    skipped: str = ""
    """Why it is not run at this scale."""
    starts: tuple[RunConfig, ...] = ()
    """The runs that `runs` start from, one for each of them; empty when they start from random weights."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A YAML resolved at a scale."""

    name: str
    path: Path
    spec: Spec
    scale: str
    evals: tuple[str, ...]
    points: tuple[Point, ...]

    @functools.cached_property
    def configurations(self) -> dict[str, RunConfig]:
        """Name -> configuration of all points that are run, each once."""
        return {run.name(): run for point in self.points for run in point.runs}

    @functools.cached_property
    def runs(self) -> dict[str, RunConfig]:
        """The configurations that are trained: none where the points are measured."""
        return {} if self.spec.measure else self.configurations

    @functools.cached_property
    def starts(self) -> dict[str, RunConfig]:
        """Name -> configuration of the runs that others start from, each once."""
        return {run.name(): run for point in self.points for run in point.starts}

    @property
    def axes(self) -> list[str]:
        """Axes of the table, in order."""
        if self.spec.rows:
            return self.spec.rows
        seen: dict[str, None] = {"arm": None} if self.spec.arms else {}
        for grid in (self.spec.grid, *(arm.grid for arm in self.spec.arms.values())):
            seen.update(dict.fromkeys(key for key in grid if key != "seed"))
        return list(seen)


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first validation error as `key.key: message`, with the nearest valid key."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            owner = _descend(owner, part)
        return f"{'.'.join(path)}: unknown key{nearest(path[-1], getattr(owner, 'model_fields', {}))}"
    if first["type"] == "missing":
        return f"{'.'.join(path)}: missing"
    return f"{'.'.join(path)}: {first['msg']}, got {first['input']!r}"


def _descend(model: Any, part: str | int) -> Any:
    """The model behind a field, through lists and dictionaries."""
    if isinstance(part, int) or not hasattr(model, "model_fields"):
        return model
    if part not in model.model_fields:
        return model
    kind = model.model_fields[part].annotation
    found = [a for a in (kind, *getattr(kind, "__args__", ())) if isinstance(a, type) and issubclass(a, BaseModel)]
    return found[0] if found else model


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML keeps the last of two equal keys without a word; here they are an error."""


def _unique_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(k, deep=True) for k, _ in node.value]  # type: ignore[no-untyped-call]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: Path) -> Any:
    """YAML with duplicate keys refused.

    Raises:
        UserError: file missing or not YAML; names file and line.
    """
    try:
        return yaml.load(path.read_text(), _UniqueKeys)
    except FileNotFoundError:
        known = [p.stem for p in path.parent.glob("*.yaml")]
        raise UserError(f"{path}: no such file{nearest(path.stem, known)}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise UserError(f"{path}: line {line}: not valid YAML: {error.problem}") from None


def load_scale(source: str | Mapping[str, Any], root: Path = EXPERIMENTS) -> Scale:
    """A scale by name, or from a mapping (Snakemake's `config`).

    Raises:
        UserError: naming file and key.
    """
    if isinstance(source, str):
        path = root / "scales" / f"{source}.yaml"
        values = read_yaml(path)
    else:
        path = root / "scales" / f"{source.get('scale', '?')}.yaml"
        values = dict(source)
    try:
        return Scale.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error, Scale)}") from None


def _check_claim(key: str, claim: Claim, spec: Spec) -> None:
    """One form, the keys that belong to it, and a metric to measure it by."""
    if len(claim.forms) != 1:
        told = " and ".join(claim.forms) or "none of them"
        raise UserError(f"{key}: needs exactly one of than, above, below, near and untestable, and has {told}")
    form = claim.forms[0]
    for word, belongs_to in (("relative", ["than"]), ("within", ["than", "near"])):
        if getattr(claim, word) and form not in belongs_to:
            raise UserError(f"{key}.{word}: belongs to a claim with {' or '.join(belongs_to)}, not to one with {form}")
    if form != "untestable" and claim.metric not in spec.metrics:
        raise UserError(f"{key}.metric: unknown {claim.metric!r}{nearest(claim.metric, spec.metrics)}")


def load_spec(path: Path) -> Spec:
    """One experiment's YAML.

    Raises:
        UserError: naming file and key.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected keys such as title, base, grid; the file holds none")
    try:
        spec = Spec.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_explain(error, Spec)}") from None
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
    for i, figure in enumerate(spec.figures):
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


def _known_rungs(kind: str, scale: Scale, root: Path) -> dict[str, Any]:
    """Every rung that some scale knows: what this scale lacks is "not run", what no scale knows is a typo."""
    table = {"size": "sizes", "recipe": "recipes", "vocabulary": "vocabularies", "corpus": "corpora"}[kind]
    known = dict.fromkeys(getattr(scale, table))
    for path in sorted((root / "scales").glob("*.yaml")):
        known.update(dict.fromkeys(_scale_table(path, table)))
    return known


@functools.cache
def _scale_table(path: Path, table: str) -> tuple[str, ...]:
    return tuple((read_yaml(path) or {}).get(table, {}))


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
        if (word := values.get("vocabulary")) is not None and str(word) not in _known_rungs("vocabulary", scale, root):
            flat["vocabulary"] = word
            values = {k: v for k, v in values.items() if k != "vocabulary"}
    for rung in RUNGS:
        if rung not in values:
            if rung in ("corpus", "vocabulary") and rung not in flat:
                raise UserError(f"{path}: {key}: {rung}: missing")
            continue
        word = str(values[rung])
        table: dict[str, Any] = getattr(
            scale,
            {"size": "sizes", "recipe": "recipes", "vocabulary": "vocabularies", "corpus": "corpora"}[rung],
        )
        if word not in table:
            known = _known_rungs(rung, scale, root)
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
        UserError: naming file and key, for unknown keys, impossible grid points and unknown rungs.
    """
    spec = load_spec(path)
    whole = spec.at.get(scale.scale, Restriction()) if restricted else Restriction()
    evals = tuple(whole.evals if whole.evals is not None else spec.evals)
    for name in spec.evals:
        known = evaluations.names()
        if name not in known:
            raise UserError(f"{path}: evals: unknown {name!r}{nearest(name, known)} (known: {', '.join(known)})")
        if name in evals and name not in scale.evals:
            raise UserError(f"{root}/scales/{scale.scale}.yaml: evals: {name} is missing; {path} asks for it")
    if spec.measure and not whole.skip and spec.measure not in scale.measures:
        raise UserError(f"{root}/scales/{scale.scale}.yaml: measures: {spec.measure} is missing; {path} asks for it")
    arms = spec.arms or {"": Arm(base={}, grid=spec.grid)}
    for arm_name, arm in arms.items():
        known_keys = (*RunConfig.names(), *RUNGS)
        for key in arm.grid:
            if key.removeprefix(START) not in known_keys:
                where = f"arms.{arm_name}.grid" if arm_name else "grid"
                raise UserError(f"{path}: {where}.{key}: unknown key{nearest(key, known_keys)}")
    _check_restriction(f"{path}: at.{scale.scale}.grid", whole, [arm.grid for arm in arms.values()])
    points: list[Point] = []
    for arm_name, arm in arms.items():
        where = f"arms.{arm_name}" if arm_name else "grid"
        part = arm.at.get(scale.scale, Restriction()) if restricted else Restriction()
        seeds = part.seeds or whole.seeds or (scale.seeds[:1] if spec.measure else scale.seeds)
        _check_restriction(f"{path}: {where}.at.{scale.scale}.grid", part, [arm.grid])
        for key, choices in arm.grid.items():
            if not isinstance(choices, list) or not choices:
                raise UserError(f"{path}: {where}.grid.{key}: needs a list with at least one value")
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
    return Experiment(path.stem, path, spec, scale.scale, evals, tuple(points))


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


def load_all(scale: Scale, root: Path = EXPERIMENTS) -> dict[str, Experiment]:
    """All experiments of `experiments/paper` and `experiments/ablations`, by name.

    Raises:
        UserError: on the first bad file, or when two files have one name.
    """
    found: dict[str, Experiment] = {}
    for folder in ("paper", "ablations"):
        for path in sorted((root / folder).glob("*.yaml")):
            if path.stem in found:
                raise UserError(f"{path}: {found[path.stem].path} has the same name; rename one of them")
            found[path.stem] = resolve(path, scale, root)
    return found


def all_runs(experiments: Mapping[str, Experiment]) -> dict[str, RunConfig]:
    """Every run of every experiment and those that they start from, each once."""
    return {name: run for e in experiments.values() for name, run in (e.starts | e.runs).items()}


def evals_of_runs(experiments: Mapping[str, Experiment]) -> dict[str, set[str]]:
    """Run -> the evaluations that some experiment asks of it."""
    wanted: dict[str, set[str]] = {}
    for experiment in experiments.values():
        for run in experiment.runs:
            wanted.setdefault(run, set()).update(experiment.evals)
    return wanted


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mtp.experiment", description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment", nargs="?", help="name of one experiment; default: a summary of all")
    parser.add_argument("--scale", default="cpu", help="file name in experiments/scales (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print run names and configurations as JSON")
    args = parser.parse_args(argv)
    try:
        scale = load_scale(args.scale)
        experiments = load_all(scale)
        if args.experiment and args.experiment not in experiments:
            raise UserError(f"no experiment {args.experiment!r}{nearest(args.experiment, experiments)}")
    except UserError as error:
        sys.exit(f"error: {error}")
    chosen = {args.experiment: experiments[args.experiment]} if args.experiment else experiments
    if args.json:
        print(json.dumps({name: run.to_dict() for name, run in all_runs(chosen).items()}, indent=1))
        return
    print(summary(chosen, scale))
    for experiment in chosen.values() if args.experiment else ():
        for point in experiment.points:
            print(f"    {point.axes}: {point.skipped or ' '.join(run.name() for run in point.runs)}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    main()

"""The keys of an experiment's YAML (documented in experiments/README.md). No torch here."""

# ruff: noqa: RUF012
# (pydantic copies the defaults of its models)

from typing import Any, Literal

from mtp.experiment.reading import Strict

HERE = "here"
"""`computed_at` of arithmetic on the point itself."""
PER_PROBLEM = ("pass@k", "reference_bits_per_byte", "reference_rank")
"""Metrics that evaluations report problem by problem too, so that models can be compared on the same problems."""
START = "start."
"""Prefix of grid keys that belong to the run that a grid point starts from."""


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


class Gap(Strict):
    """Two sides of a difference."""

    these: dict[str, Any]
    than: dict[str, Any]


class Claim(Strict):
    """A sentence of the paper that can hold or not.

    With `than`: the points `these` are better than the points `than` (or level with them, `within` a margin), or by
    more than the points of another gap (`less`). Without:
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
    less: Gap | None = None
    """Another difference, which is taken from that of `these` and `than`: the effect is how much wider this gap is."""
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

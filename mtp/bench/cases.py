"""What is compared with what: each job is a race, or a set of peaks, that gives rows of the table. No torch here."""

import dataclasses
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from mtp import floors
from mtp.bench.race import Spread, Times, race, ratio
from mtp.bench.shapes import SHAPES, Shape, ours
from mtp.config import RunConfig
from mtp.errors import UserError

CASES = {
    "step": "a training step against those of other trainers",
    "heads": "time of n heads over that of one, against the ratio of their FLOPs",
    "memory": "peak memory of n heads over that of one, and over the naive scheme",
    "loss": "chunked cross-entropy against torch's own",
    "share": "share of the matrix products' peak, two jobs side by side",
}
VOCABULARIES = (256, 4096, 32000)
BEST = "best trainer as shipped"
PRODUCT_FLOPS = 2 * 1024**3
"""Of the matrix product that stands for the machine's peak (`mtp.measures.step_time.SQUARE`)."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table; `goal` is a bound on the median, "" where there is none."""

    case: str
    baseline: str
    ratio: Spread
    goal: str = ""

    @property
    def reached(self) -> bool | None:
        if not self.goal:
            return None
        sign, bound = self.goal.split()
        return self.ratio.median >= float(bound) if sign == ">=" else self.ratio.median <= float(bound)


@dataclasses.dataclass(frozen=True)
class Job:
    """The unit of work and of restart: all its rows are written together."""

    case: str
    size: str
    name: str
    rounds: int
    run: Callable[[int, Callable[[], object], Callable[[str], object]], list[Row]]
    """(rounds, called after every round, what gets lines to print) -> rows."""


def own(config: RunConfig, process: str = "ours") -> dict[str, Any]:
    changed = {f.name: v for f in dataclasses.fields(config) if (v := getattr(config, f.name)) != f.default}
    return {"work": "ours", "config": changed, "process": process}


def product(precision: str) -> dict[str, Any]:
    return {"work": "product", "precision": precision, "process": "ours"}


def achieved(times: Times, configs: Mapping[str, RunConfig]) -> Iterator[str]:
    """Lines about our own steps: time, tokens, FLOP/s and their share of the machine's peak."""
    for label, config in configs.items():
        if label not in times:
            continue
        seconds = statistics.median(times[label])
        rate = config.flops / config.steps / seconds
        share = ""
        if (peak := f"product {config.precision}") in times:
            best = PRODUCT_FLOPS / statistics.median(times[peak])
            share = f" = {100 * rate / best:.0f} % of a matrix product's {best / 1e9:.0f}"
        tokens = config.batch_size * config.context
        yield f"{label}: {1e3 * seconds:.1f} ms, {tokens / seconds:,.0f} tokens/s, {rate / 1e9:.0f} GFLOP/s{share}"


def _others(times: Times, known: Sequence[str]) -> Iterator[str]:
    for label in times:
        if label not in known and not label.startswith("product"):
            yield f"{label}: {1e3 * statistics.median(times[label]):.1f} ms"


# ---- step ------------------------------------------------------------------------------------------------


def step(shape: Shape, rounds: int, fast: str) -> Job:
    """Ours, eager and compiled, against peers as shipped, with our process settings, and improved by us.

    `fast` is the precision whose products are fastest here; bfloat16 takes part only where that is it.
    """
    size, bfloat16 = shape.name, fast == "bfloat16"
    precisions = ("float32", "bfloat16") if bfloat16 else ("float32",)
    configs = {
        f"{precision}{' compiled' if compile else ''}": ours(shape, precision=precision, compile=compile)
        for precision in precisions
        for compile in (False, True)
    }
    four = {
        f"{fast}{' compiled' if compile else ''}, n = 4": ours(shape, precision=fast, compile=compile, n_future=4)
        for compile in (False, True)
    }
    peer: dict[str, Any] = {"work": "peer", "size": size, "process": "shipped"}
    compiled = {**peer, "compile": True}
    shipped: dict[str, dict[str, Any]] = {
        "transformers Llama": {**peer, "peer": "llama"},
        "litgpt, eager float32": {**peer, "peer": "litgpt"},
        "nanoGPT-like, eager": {**peer, "peer": "nanogpt"},
    }
    if size != "100M":  # what takes part must fit the memory side by side
        shipped["litgpt, compiled float32"] = {**compiled, "peer": "litgpt"}
        shipped["nanoGPT-like, compiled"] = {**compiled, "peer": "nanogpt"}
    if bfloat16:
        shipped["litgpt, compiled bfloat16 (its default)"] = {**compiled, "peer": "litgpt", "precision": "bfloat16"}
    others: dict[str, dict[str, Any]] = {}
    improved = "nanoGPT-like, compiled" + (" + bfloat16" if bfloat16 else "")
    if size != "100M":
        others = {
            f"{label}, our process settings": {**shipped[label], "process": "ours"} for label in tuple(shipped)[:3]
        }
        if bfloat16:
            others[improved] = {**compiled, "peer": "nanogpt", "precision": "bfloat16"}
    lingua: dict[str, Any] = {"work": "peer", "peer": "lingua", "size": size, "process": "shipped", "n": 4}

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {label: own(config) for label, config in (configs | four).items()}
        field |= {**shipped, **others, "lingua-like, n = 4": lingua}
        field |= {f"product {precision}": product(precision) for precision in precisions}
        times = race(field, rounds, progress, told)
        for line in (*achieved(times, configs | four), *_others(times, [*configs, *four])):
            told(line)

        def fastest(labels: Collection[str]) -> str:
            entered = [x for x in labels if x in times]
            if not entered:
                raise UserError(f"none of these could take part: {', '.join(labels)}")
            return min(entered, key=lambda x: statistics.median(times[x]))

        mine, best, mine4 = fastest(configs), fastest(shipped), fastest(four)
        if f"product {fast}" in times:
            least = (
                configs[mine].flops / configs[mine].steps * statistics.median(times[f"product {fast}"]) / PRODUCT_FLOPS
            )
            most = statistics.median(times[best]) / least
            told(f"a step at the matrix product's rate: {1e3 * least:.1f} ms, {most:.1f} times as fast as {best}")
        goal = {"1M": ">= 2.2", "10M": ">= 2.8", "100M": ">= 3.0"}[size]
        rows = [Row(f"{size} step, {mine}", f"{BEST}: {best}", ratio(times[best], times[mine]), goal)]
        for other in [x for x in (*shipped, *others) if x in times]:
            bound = ">= 1.4" if other == improved else ""
            rows.append(Row(f"{size} step, {mine}", other, ratio(times[other], times[mine]), bound))
        for label in [x for x in configs if x in times and x != mine]:
            rows.append(Row(f"{size} step, {label}", f"{BEST}: {best}", ratio(times[best], times[label])))
        lingua4 = "lingua-like, n = 4"
        if lingua4 in times:
            rows.append(Row(f"{size} step, {mine4}", lingua4, ratio(times[lingua4], times[mine4])))
        return rows

    return Job("step", size, f"step {size}", rounds, run)


# ---- heads -----------------------------------------------------------------------------------------------


def heads(shape: Shape, vocabulary: int, rounds: int) -> Job:
    """Time of n heads over one, divided by the ratio of the FLOPs; and over the naive scheme where V is largest."""
    shape = dataclasses.replace(shape, vocabulary=vocabulary)
    one = ours(shape)
    configs = {f"n = {n}": ours(shape, n_future=n) for n in (1, 2, 4, 8)}
    naive = ours(shape, n_future=8, loss_scheme="naive")

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {label: own(config) for label, config in configs.items()} | {"product float32": product("float32")}
        with_naive = vocabulary == max(VOCABULARIES) and shape.name != "100M"
        if with_naive:
            field["n = 8, naive"] = own(naive)
        times = race(field, rounds, progress, told, needed=list(configs))
        for line in achieved(times, {**configs, "n = 8, naive": naive}):
            told(f"V = {vocabulary}, {line}")
        rows = []
        for label, config in list(configs.items())[1:]:
            floor = config.flops / one.flops
            rows.append(
                Row(
                    f"{shape.name} V={vocabulary} time of {label}",
                    f"FLOP ratio {floor:.2f} times n = 1",
                    ratio(times[label], times["n = 1"], floor),
                    "<= 1.05",
                )
            )
        if with_naive:
            rows.append(
                Row(
                    f"{shape.name} V={vocabulary} time of n = 8",
                    "naive scheme",
                    ratio(times["n = 8"], times["n = 8, naive"]),
                    "<= 0.5" if shape.name == "10M" else "",
                )
            )
        return rows

    return Job("heads", shape.name, f"heads {shape.name} V={vocabulary}", rounds, run)


# ---- memory ----------------------------------------------------------------------------------------------


def memory(shape: Shape, vocabulary: int, rounds: int) -> Job:
    """Peaks from fresh processes; `rounds` readings of each."""
    shape = dataclasses.replace(shape, vocabulary=vocabulary)
    configs = {f"n = {n}": ours(shape, n_future=n) for n in (1, 2, 4, 8)}
    largest = vocabulary == max(VOCABULARIES)
    everything = configs | ({"n = 8, naive": ours(shape, n_future=8, loss_scheme="naive")} if largest else {})

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        from mtp.measures.step_memory import Peak, all_peaks, quotient

        found = all_peaks(everything, rounds)
        for _ in range(rounds):
            progress()
        peaks: dict[str, Peak] = {}
        for label, peak in found.items():
            if isinstance(peak, str):
                told(f"left out: {label}: {peak}")
            else:
                peaks[label] = peak
                floor = floors.step_bytes(everything[label]) / 1e6
                told(
                    f"V = {vocabulary}, {label}: {peak[0]:.0f} MB above weights and optimiser state; floor {floor:.0f}"
                )
        rows = []
        for label in [label for label in configs if label != "n = 1" and label in peaks]:
            spread = Spread(*quotient(peaks[label], peaks["n = 1"]))
            rows.append(Row(f"{shape.name} V={vocabulary} memory of {label}", "n = 1", spread, "<= 1.0"))
        if largest and {"n = 8", "n = 8, naive"} <= peaks.keys():
            spread = Spread(*quotient(peaks["n = 8"], peaks["n = 8, naive"]))
            goal = "<= 0.1" if shape.name == "10M" else ""
            rows.append(Row(f"{shape.name} V={vocabulary} memory of n = 8", "naive scheme", spread, goal))
        return rows

    return Job("memory", shape.name, f"memory {shape.name} V={vocabulary}", rounds, run)


# ---- loss ------------------------------------------------------------------------------------------------

LOSSES = {"1M": (4096, 96, 256), "10M": (4096, 288, 4096), "100M": (1024, 288, 32000)}
"""Rows, dim and V of the loss that is timed along with a size."""


def loss(size: str, rounds: int) -> Job:
    """Our chunks are chosen by bytes; torch gets 1024 rows, its best of those tried: its own choice is slow."""
    rows_, dim, vocabulary = LOSSES[size]
    told_all = {"work": "loss", "rows": rows_, "dim": dim, "vocabulary": vocabulary, "process": "ours", "warmup": 3}

    def run(rounds: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        field = {"ours": {**told_all, "by": "ours"}, "torch": {**told_all, "by": "torch", "chunk": 1024}}
        times = race(field, rounds, progress, told, repetitions=3)
        for label, found in times.items():
            told(f"{rows_} rows x {dim} -> {vocabulary}, {label}: {1e3 * statistics.median(found):.1f} ms")
        if len(times) < 2:
            return []
        case = f"cross-entropy, {rows_} x {dim} -> {vocabulary}"
        return [Row(case, "torch, chunks of 1024", ratio(times["ours"], times["torch"]), "<= 1.0")]

    return Job("loss", size, f"loss {size}", rounds, run)


# ---- share -----------------------------------------------------------------------------------------------


def share(shape: Shape, rounds: int, fast: str) -> Job:
    """Two of our jobs at the same time, then two matrix products at the same time, in the fastest precision."""
    config = ours(shape, precision=fast, compile=True, n_future=4)
    goal = {"1M": ">= 28", "10M": ">= 50"}.get(shape.name, "")

    def run(both: int, progress: Callable[[], object], told: Callable[[str], object]) -> list[Row]:
        rounds = both // 2
        steps = race({f"job {i}": own(config) for i in (1, 2)}, rounds, progress, told, ("job 1", "job 2"), 3)
        if len(steps) < 2:
            return []
        peaks = race({f"job {i}": product(fast) for i in (1, 2)}, rounds, progress, told, ("job 1", "job 2"), 30)
        flops = config.flops / config.steps
        rates = [flops / a + flops / b for a, b in zip(steps["job 1"], steps["job 2"], strict=True)]
        best = 2 * statistics.median([PRODUCT_FLOPS / seconds for found in peaks.values() for seconds in found])
        told(f"two jobs: {statistics.median(rates) / 1e9:.0f} of {best / 1e9:.0f} GFLOP/s")
        name = f"{shape.name} two jobs, n = 4, {fast} compiled, percent"
        return [Row(name, f"{fast} matrix products", ratio(rates, [best / 100] * rounds), goal)]

    return Job("share", shape.name, f"share {shape.name}", 2 * rounds, run)


def fast_precision() -> str:
    """bfloat16 where the CPU multiplies it faster than float32; without such instructions it is far slower."""
    side = {"side": 256}
    field = {precision: product(precision) | side for precision in ("float32", "bfloat16")}
    times = race(field, 3, lambda: None, print, needed=list(field))
    medians = {precision: statistics.median(found) for precision, found in times.items()}
    fast = min(medians, key=lambda precision: medians[precision])
    if fast != "bfloat16":
        print(
            f"bfloat16 products take {medians['bfloat16'] / medians['float32']:.0f} times as long as float32 here:"
            " bfloat16 is left out"
        )
    return fast


def jobs(cases: Sequence[str], sizes: Sequence[str], rounds: int, quick: bool, fast: str) -> list[Job]:
    """Everything to be run, small before large."""
    found: list[Job] = []
    for size in sizes:
        shape = SHAPES[size]
        fewer = max(3, rounds // {"1M": 1, "10M": 2, "100M": 3}[size])
        vocabularies = (256,) if size == "100M" and quick else VOCABULARIES
        if "step" in cases:
            found.append(step(shape, fewer, fast))
        if "heads" in cases:
            found += [heads(shape, v, fewer) for v in vocabularies]
        if "memory" in cases and size != "100M":
            found += [memory(shape, v, 2) for v in vocabularies]
        if "loss" in cases:
            found.append(loss(size, rounds))
        if "share" in cases and size != "100M":
            found.append(share(shape, fewer, fast))
    return found

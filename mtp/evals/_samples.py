"""Samples of a code evaluation: drawn in batches, and kept line by line so that a killed job continues."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtp import cpu
from mtp.atomic import replacing
from mtp.data.vocabulary import Vocabulary
from mtp.generate import Request, Sample, Sampling, generate
from mtp.model import Model
from mtp.progress import bar
from mtp.runs import arithmetic

log = logging.getLogger("mtp.evals")
Key = tuple[str, int, int]
"""Temperature as text, problem, sample."""


def label(temperature: float) -> str:
    """0.2 -> "0.2": how a temperature is named in results."""
    return f"{temperature:g}"


class Partial:
    """Finished samples on disk, line by line, so that a killed job loses at most the rows in the making."""

    def __init__(self, path: Path, identity: str) -> None:
        """`identity` is the first line: samples under another one are thrown away."""
        self.path = path
        self.found: dict[Key, dict[str, Any]] = {}
        # What follows the last newline was cut off.
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if lines and lines[0].decode(errors="replace") == identity:
            for line in lines[1:]:
                row = json.loads(line)
                self.found[row["temperature"], row["problem"], row["sample"]] = row
            log.info("%s: %d finished samples are kept", path, len(self.found))
        rows = [identity, *(json.dumps(row) for row in self.found.values())]
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text("\n".join(rows) + "\n")
        self.file = path.open("a")

    def add(self, temperature: str, sample: Sample) -> None:
        row = {
            "temperature": temperature, "problem": sample.problem, "sample": sample.sample,
            "completion": sample.text, "finish": sample.finish, "tokens": len(sample.tokens),
        }  # fmt: skip
        self.found[temperature, sample.problem, sample.sample] = row
        self.file.write(json.dumps(row) + "\n")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def draw(
    model: Model,
    vocabulary: Vocabulary,
    prompts: Sequence[np.ndarray],
    stops: tuple[str, ...],
    settings: dict[str, Any],
    partial: Partial,
) -> None:
    """Fill `partial` with every sample that it does not hold yet; the seed of the draws is the run's."""

    def missing(temperature: str) -> Iterator[Request]:
        for problem, prompt in enumerate(prompts):
            for sample in range(settings["samples"]):
                if (temperature, problem, sample) not in partial.found:
                    yield Request(problem, sample, prompt)

    wanted = len(prompts) * settings["samples"] * len(settings["temperatures"])
    progress = bar(total=wanted, initial=len(partial.found), desc="samples", unit="sample")
    with arithmetic(model), cpu.small_products(), progress:
        for temperature in settings["temperatures"]:
            sampling = Sampling(temperature, settings["top_p"], settings["max_tokens"], stops, model.config.seed)
            requests = list(missing(label(temperature)))
            for count, sample in enumerate(generate(model, vocabulary, requests, sampling, settings["batch_size"]), 1):
                partial.add(label(temperature), sample)
                progress.update()
                if count % settings["batch_size"] == 0:
                    partial.flush()
    partial.flush()

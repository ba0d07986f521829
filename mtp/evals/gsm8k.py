"""GSM8K with worked examples in the prompt: pass@k by temperature (Figure S13).

The data are those of `mtp/problems/gsm8k.py`. The paper states 8 shots, 200 samples and the temperatures, neither the
prompt nor how an answer is read. Here:

- the examples are the first `shots` of the training split, as they stand there but for the calculator's annotations
  (`<<3+4=7>>`), with "The answer is" in place of "####", between "Q: " and "A: " and blank lines;
- a completion ends before the next "Q:"; its answer is the last number behind the last "The answer is" or "####", and
  without such words there is none; commas between digits and a dollar sign do not count, and 5.00 is 5.

Examples that do not fit beside a question and `max_tokens` are left out from the first on.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from mtp.errors import UserError
from mtp.evals import _passes
from mtp.problems import gsm8k
from mtp.progress import bar
from mtp.settings import positive

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {"pass@k": ("benchmark", "k", "temperature")}
"""What is reported, and the labels that tell its numbers apart."""
_FINAL = re.compile(r"(?:[Tt]he answer is|####)")
_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = _passes.check(settings, {"shots": int, "max_tokens": int}, {"problems": int, "folder": str})
    positive(found, "max_tokens")
    if found["shots"] < 0:
        raise UserError(f"settings: shots: must not be negative, got {found['shots']}")
    if found.get("problems", 2) < 2:
        raise UserError("settings: problems: must be at least 2 (the interval is over problems)")
    return found


def ready(settings: Mapping[str, Any]) -> None:
    """Raises `Unavailable` where the data set is missing."""
    gsm8k.locate(settings.get("folder", ""))


def number(text: str) -> Fraction | None:
    """The number that an answer ends with, behind "The answer is" or "####"; None if there is none.

    >>> number("3 + 4 = 7. The answer is $1,007.00.")
    Fraction(1007, 1)
    """
    ends = [found.end() for found in _FINAL.finditer(text)]
    numbers = _NUMBER.findall(text[ends[-1] :].split("\n")[0]) if ends else []
    return Fraction(numbers[-1].replace(",", "").replace("$", "")) if numbers else None


def prompts(examples: Sequence[str], asked: str) -> Iterator[str]:
    """The prompt with all examples, then with ever fewer."""
    for left_out in range(len(examples) + 1):
        yield "".join([*examples[left_out:], asked])


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Settings: shots, samples, temperatures, top_p, ks, max_tokens, batch_size (samples in the making), problems (only
    the first so many) and folder (of the file).

    Raises:
        UserError: missing or damaged files.
    """
    from mtp import cpu
    from mtp.data.vocabulary import Vocabulary
    from mtp.generate import Request, Sampling, generate, prompt_room
    from mtp.runs import arithmetic, load_run

    problems = gsm8k.rows("test", settings.get("folder", ""))[: settings.get("problems")]
    shown_first = gsm8k.rows("train", settings.get("folder", ""))[: settings["shots"]]
    examples = [gsm8k.asked(row) + gsm8k.worked(row) for row in shown_first]
    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    room = prompt_room(config.context, settings["max_tokens"])
    wanted = [number(row["answer"]) for row in problems]
    if missing := [i for i, right in enumerate(wanted) if right is None]:
        raise UserError(f"GSM8K: problem {missing[0]} of the test split has no number behind ####")
    asked, shots = [], []
    for row in problems:
        for shown, prompt in enumerate(prompts(examples, gsm8k.asked(row))):
            tokens_S = vocabulary.begin(prompt)
            if len(tokens_S) <= room or shown == len(examples):
                break
        asked.append(tokens_S)
        shots.append(len(examples) - shown)
    passed: dict[float, list[int]] = {}
    with arithmetic(model), cpu.small_products():
        for temperature in bar(settings["temperatures"], desc=f"gsm8k {model_dir.name}", unit="temperature"):
            sampling = Sampling(temperature, settings["top_p"], settings["max_tokens"], gsm8k.STOPS, config.seed)
            requests = [Request(i, s, tokens_S) for i, tokens_S in enumerate(asked) for s in range(settings["samples"])]
            counts = [0] * len(asked)
            for sample in generate(model, vocabulary, requests, sampling, settings["batch_size"]):
                counts[sample.problem] += number(sample.text) == wanted[sample.problem]
            passed[temperature] = counts
    return {
        "status": "measured",
        "reason": "",
        "metrics": _passes.rows({"benchmark": gsm8k.NAME}, settings["samples"], passed, settings["ks"]),
        "settings": {
            **settings,
            "context": config.context,
            "stops": list(gsm8k.STOPS),
            "problems": len(problems),
            "shots_shown": {"least": min(shots), "most": max(shots)},
        },
    }

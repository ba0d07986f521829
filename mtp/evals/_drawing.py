"""The model's part of an evaluation by execution: score the references, sample from head 1. What follows is `_code`.

torch is imported by `draw` only.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mtp.problems import Problem


def digest(problems: Sequence[Problem]) -> str:
    """SHA-256 over all of the problems that decides what is drawn."""
    parts = [(problem.task_id, problem.prompt, problem.opening, problem.reference) for problem in problems]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def draw(
    name: str,
    problems: Sequence[Problem],
    model_dir: Path,
    data_dir: Path,
    settings: dict[str, Any],
    out_dir: Path,
    identity: str,
) -> dict[str, Any]:
    """Samples and scores of references, for `_code.judge`.

    Finished samples are kept in <name>.partial.jsonl, which whoever keeps the result removes.

    Args:
        problems: all that the settings select but for `problems`, which keeps the first so many.
        settings: as `_code.check` gives them.
        identity: of all that decides what is drawn; samples kept under another one are not taken over.

    Raises:
        UserError: missing files.
    """
    from mtp.data.vocabulary import Vocabulary
    from mtp.evals import _references, _samples
    from mtp.generate import prompt_room
    from mtp.runs import load_run

    of = len(problems)
    problems = problems[: settings.get("problems")]
    model, config = load_run(model_dir)
    vocabulary = Vocabulary.load(data_dir)
    prompts = [vocabulary.begin(problem.prompt) for problem in problems]
    room = prompt_room(config.context, settings["max_tokens"])
    references = _references.measure(model, vocabulary, problems, settings["mutants"])
    partial = _samples.Partial(out_dir / f"{name}.partial.jsonl", identity)
    _samples.draw(model, vocabulary, prompts, problems[0].stops, settings, partial)
    partial.close()
    return {
        "problems": digest(problems),
        "settings": {
            **settings,
            "stops": list(problems[0].stops),
            "seed": config.seed,
            "prompt": "as in the data set, cut on the left to prompt_room tokens",
            "prompt_room": room,
            "prompts_truncated": sum(len(prompt) > room for prompt in prompts),
            "problems": f"the first {len(problems)} of {of}" if len(problems) < of else f"all {of}",
        },
        "references": dataclasses.asdict(references),
        "samples": [row for _, row in sorted(partial.found.items())],
    }

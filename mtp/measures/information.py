"""The identities of Section 5.2 and Appendix L.2 on random distributions: by how much their sides differ.

Nothing is trained and no configuration matters; what the terms are for a trained model is the `mutual_information` of
the `likelihood` evaluation.
"""

from typing import Any

import numpy as np

from mtp.config import RunConfig
from mtp.information import residuals, shared_weight
from mtp.measures._common import number
from mtp.settings import checked, positive

VERSION = 1


def random_joint(generator: np.random.Generator, symbols: int) -> np.ndarray:
    """A positive joint distribution of two variables, from nearly even to nearly deterministic."""
    drawn = generator.gamma(10 ** generator.uniform(-1.5, 0.5), size=(symbols, symbols)) + 1e-12
    return np.asarray(drawn / drawn.sum())


def run(configs: list[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """Largest residual of each identity in nats, and the weight of what two tokens share with its lowest and highest;
    settings: pairs (of data and model) and symbols.

    Raises:
        UserError: wrong settings.
    """
    settings = checked(settings, {"pairs": int, "symbols": int}, {})
    positive(settings, "pairs", "symbols")
    generator = np.random.default_rng(0)
    largest: dict[str, float] = {}
    weights: list[float] = []
    for _ in range(settings["pairs"]):
        p_XY, q_XY = (random_joint(generator, settings["symbols"]) for _ in range(2))
        weights.append(shared_weight(p_XY))
        for name, value in residuals(p_XY, q_XY).items():
            largest[name] = max(value, largest.get(name, 0.0))
    metrics = [number(name, value) for name, value in largest.items()]
    metrics.append(number("shared_weight", float(np.mean(weights)), min(weights), max(weights)))
    runs = {config.name(): {"metrics": metrics} for config in configs}
    return {"status": "measured", "reason": "", "settings": settings, "runs": runs}

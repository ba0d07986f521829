"""What a second head could know at best: the model's own two-step prediction, with the token between summed out.

Head 1 predicts p(x | context), and fed with x it predicts p(y | context, x). So it implies a prediction of the token
after the next, q(y | context) = sum over x of p(x | context) p(y | context, x): what a second head that agrees with the
first would say. A head 2 that is worse than q has not yet learnt what the model knows; one that is trained on a frozen
trunk can only approach it, unless head 1 itself is miscalibrated.

The sum is taken over the most probable x, all of them if `between` is the size of the vocabulary. With S for that part
of it and m for the probability left over, S <= q(y) <= S + m, so the cross-entropy of q lies between those of the two:
both ends are reported (`bound`: lower, upper).

All x are computed in one pass: they stand side by side behind the context, at the same position, and see the context
and themselves, but not each other.

Shapes: T positions of a context, X tokens between, L = T + X, V vocabulary, K width of an attention head.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtp.errors import UserError
from mtp.progress import bar
from mtp.settings import checked, positive

if TYPE_CHECKING:
    from torch import Tensor

    from mtp.config import RunConfig
    from mtp.model import Model

VERSION = 1
METRICS: dict[str, tuple[str, ...]] = {"summed_probability": (), "bits_per_token": ("of", "bound"), "behind": ()}
"""What is reported, and the labels that tell its numbers apart."""
CHUNK = 512
"""Tokens between in one pass: attention costs L^2."""


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Raises `UserError` naming the key."""
    found = checked(settings, {"positions": int, "between": int}, {})
    positive(found, "positions", "between")
    return found


def starts(count: int, context: int, positions: int) -> np.ndarray:
    """int64: where the contexts begin, spread evenly over a text of `count` tokens.

    Raises:
        UserError: the text holds no context with the two tokens behind it.
    """
    last = count - context - 2
    if last < 0:
        raise UserError(f"marginal: {count} held-out tokens are fewer than a context of {context} and two more")
    return np.unique(np.linspace(0, last, positions).astype(np.int64))


def after_each(model: "Model", context_T: "Tensor", between_X: "Tensor") -> Iterator["Tensor"]:
    """Head 1's log-probabilities of the token behind context and x, for every x: chunks of log_p_XV, in order."""
    import torch

    T, last = len(context_T), len(context_T)
    for x_X in between_X.split(CHUNK):
        L = T + len(x_X)
        place_L = torch.arange(L, device=x_X.device).clamp(max=last)
        hidden_LL = torch.ones(L, L, dtype=torch.bool, device=x_X.device).triu(1)
        hidden_LL[T:, T:] = ~torch.eye(len(x_X), dtype=torch.bool, device=x_X.device)
        bias_11LL = torch.zeros(1, 1, L, L, device=x_X.device).masked_fill_(hidden_LL, -math.inf)
        rope = _Placed(place_L, *model.rope.tables(T + 1))
        x_1LD = model.trunk(model.embedding(torch.cat([context_T, x_X])[None]), rope, bias_11LL, None)
        for branch in model.path(0):
            x_1LD = model.heads(branch, x_1LD, rope, None, bias_11LL)
        yield model.logits(0, x_1LD[:, T:])[0].double().log_softmax(-1)


class _Placed:
    """Rotary tables of given positions instead of 0, 1, 2, ..."""

    def __init__(self, place_L: "Tensor", cos_SK: "Tensor", sin_SK: "Tensor") -> None:
        self.cos_LK, self.sin_LK = cos_SK[place_L], sin_SK[place_L]

    def tables(self, length: int) -> tuple["Tensor", "Tensor"]:
        return self.cos_LK[:length], self.sin_LK[:length]


def refuse(config: "RunConfig") -> None:
    """
    Raises:
        UserError: the tokens between cannot stand side by side in such a model.
    """
    if not config.trunk_kind.attends or config.document_mask or config.layout.matrices_per_link:
        raise UserError(
            f"marginal: {config.name()}: needs a transformer without document_mask and without links between heads"
        )


def run(model_dir: Path, data_dir: Path, settings: dict[str, Any], out_dir: Path, workers: int) -> dict[str, Any]:
    """Evaluate; settings: positions (of held-out text), between (tokens that are summed over, most probable first).

    Raises:
        UserError: missing files, too little held-out text, or another kind of model.
    """
    import torch

    from mtp.data.vocabulary import Vocabulary
    from mtp.likelihood import text_of
    from mtp.runs import arithmetic, load_run

    model, config = load_run(model_dir)
    refuse(config)
    device = next(model.parameters()).device
    text_S = text_of(data_dir, "valid", Vocabulary.load(data_dir))
    T, between = config.context - 1, min(settings["between"], config.vocab_size)
    places = starts(len(text_S), T, settings["positions"])
    nats: dict[str, list[float]] = {"next": [], "lower": [], "upper": [], "second": []}
    masses = []
    with torch.no_grad(), arithmetic(model):
        for place in bar(places, desc=f"marginal {model_dir.name}", unit="position"):
            read = np.asarray(text_S[place : place + T + 2], dtype=np.int64)
            context_T, x, y = torch.from_numpy(read[:T]).to(device), int(read[T]), int(read[T + 1])
            p_V = model(context_T[None])[0, -1].double().softmax(-1)
            found = p_V.topk(between)
            after_X = torch.cat([log_p_XV[:, y] for log_p_XV in after_each(model, context_T, found.indices)])
            told = float((found.values.log() + after_X).logsumexp(0).exp())
            left = max(0.0, float(1 - found.values.sum()))
            masses.append(1 - left)
            nats["next"].append(-math.log(p_V[x].item()))
            nats["upper"].append(-math.log(told))
            nats["lower"].append(-math.log(min(1.0, told + left)))
            if config.n_future > 1:
                window_1S = torch.cat([context_T, context_T.new_zeros(config.n_future)])[None]
                h_1TD = next(h for head, h in model.head_states(window_1S, T) if head == 1)
                nats["second"].append(-model.logits(1, h_1TD[:, -1])[0].double().log_softmax(-1)[y].item())
    bits = {name: np.array(found) / math.log(2) for name, found in nats.items() if found}
    told_of = {"next": ("next token", ""), "second": ("head 2", "")}
    metrics: list[dict[str, Any]] = [{"metric": "summed_probability", "value": 100 * float(np.mean(masses))}]
    for name, values in bits.items():
        of, bound = told_of.get(name, ("two steps of head 1", name))
        metrics.append({"metric": "bits_per_token", "of": of, "bound": bound, "value": float(values.mean())})
    if "second" in bits:
        metrics.append({"metric": "behind", "value": float((bits["second"] - bits["upper"]).mean())})
    return {
        "status": "measured",
        "reason": "",
        "metrics": metrics,
        "settings": {**settings, "context": T, "scored": len(places)},
    }

"""The tensors of a run in training, by name: weights and what the optimiser remembers of each.

By name, not by number, so that they find their place however the weights are cut up.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`model.<weight>` and `optimizer.<weight>.<moment>`; weights never trained so far have no moments."""
    found: dict[str, Tensor] = {}
    for name, weight in model.named_parameters():
        found[f"model.{name}"] = weight.detach()
        for moment, tensor in optimizer.state.get(weight, {}).items():
            found[f"optimizer.{name}.{moment}"] = tensor
    return found


def make_room(model: nn.Module, optimizer: torch.optim.Optimizer, names: Iterable[str]) -> None:
    """Empty moments for the weights whose moments are among `names`."""
    remembered = {name.removeprefix("optimizer.").rpartition(".")[0] for name in names if name.startswith("optimizer.")}
    for name, weight in model.named_parameters():
        if name in remembered:
            # What AdamW makes of a weight at its first step; fused, it counts steps where the weight lies.
            optimizer.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(weight, requires_grad=False),
            }

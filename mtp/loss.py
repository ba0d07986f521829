"""Targets and the multi-token loss with the paper's memory-efficient backward pass (Section 2, Figure 2).

Shapes: B windows, T positions, N n_future, V vocabulary. A window holds T + n tokens, so every position
has all its n targets:

    window     0 1 2 3 4 5        T = 4, n = 2
    inputs     0 1 2 3
    head 1     1 2 3 4            targets shifted by 1
    head 2     2 3 4 5            targets shifted by 2
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mtp.model import Model


def split_window(window_BS: Tensor, n_future: int) -> tuple[Tensor, Tensor]:
    """Windows of T + n tokens -> (inputs_BT, targets_BTN); target i of position t is token t + 1 + i.

    The only place in the suite that shifts targets.
    """
    T = window_BS.shape[1] - n_future
    targets_BTN = window_BS.unfold(1, n_future, 1)[:, 1 : T + 1]
    return window_BS[:, :T], targets_BTN


def cross_entropy(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean over positions, in nats, in float32."""
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten())


def naive_loss(model: Model, window_BS: Tensor) -> Tensor:
    """Losses_N of all heads in one graph, all logits alive at once: the reference for `backward`.

    The training loss is their unweighted sum (Section 2: all n terms carry weight one).
    """
    n = model.config.n_future
    inputs_BT, targets_BTN = split_window(window_BS, n)
    z_BTD = model.trunk_states(inputs_BT)
    return torch.stack([cross_entropy(model.head_logits(i, z_BTD), targets_BTN[..., i]) for i in range(n)])


def backward(model: Model, window_BS: Tensor, share: float = 1.0) -> Tensor:
    """Add the gradient of `share` times the summed loss to the weights; return losses_N (detached).

    The order of Figure 2: trunk forward; then for each head in turn forward and backward down to the detached
    trunk state, so that one head's logits (B T V) exist at a time; the gradients of the heads add up on that
    state (B T D); one backward pass through the trunk. `share` is 1/k for each of k micro-batches.
    """
    n = model.config.n_future
    inputs_BT, targets_BTN = split_window(window_BS, n)
    z_BTD = model.trunk_states(inputs_BT)
    detached = z_BTD.detach().requires_grad_()
    losses: list[Tensor] = []
    for i in range(n):
        loss = cross_entropy(model.head_logits(i, detached), targets_BTN[..., i])
        (loss * share).backward()
        losses.append(loss.detach())
    z_BTD.backward(detached.grad)
    return torch.stack(losses)

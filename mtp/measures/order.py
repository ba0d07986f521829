"""In which order a training step goes forward and backward, observed while it runs (Figures 2 and S11).

Every configuration takes one pass forward and backward over a few random tokens, on the CPU, by the code that trains
(`mtp.loss.backward`). Watched are

- the modules of trunk and heads, by hooks: when they have computed their states, and when the gradients of these
  states are complete and go on to what they stand on;
- the losses, by the operations that look up targets among logits: the targets tell which head's loss it is;
- the logits, by the storages of their shape that are alive after every operation.

A step of the order is an arrow between two of `input`, `trunk`, `head 1`, ..., `loss 1`, ...; the paper's orders for
two heads are `PAPER`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtp.config import RunConfig
from mtp.loss import backward, split_window
from mtp.measures._common import number
from mtp.model import Model
from mtp.settings import checked

VERSION = 1
ROWS = 7
"""Positions that the pass is over: a prime, so that nothing but logits has their shape."""
LOOKS_UP = {"nll_loss_forward": "forward", "gather": "forward", "nll_loss_backward": "backward", "scatter_": "backward"}
"""Operation on logits and targets -> direction in which a loss is being computed."""

Arrow = tuple[str, str, str]
"""Direction, from, to."""

HEAD_1 = [("forward", "head 1", "loss 1"), ("backward", "loss 1", "head 1"), ("backward", "head 1", "trunk")]
PAPER: dict[str, list[Arrow]] = {
    "parallel": [
        ("forward", "input", "trunk"),
        ("forward", "trunk", "head 1"),
        *HEAD_1,
        ("forward", "trunk", "head 2"),
        ("forward", "head 2", "loss 2"),
        ("backward", "loss 2", "head 2"),
        ("backward", "head 2", "trunk"),
        ("backward", "trunk", "input"),
    ],
    "causal": [
        ("forward", "input", "trunk"),
        ("forward", "trunk", "head 1"),
        ("forward", "head 1", "head 2"),
        ("forward", "head 2", "loss 2"),
        ("backward", "loss 2", "head 2"),
        ("backward", "head 2", "head 1"),
        *HEAD_1,
        ("backward", "trunk", "input"),
    ],
}
"""Layout -> the paper's order for two heads: Figure 2 and Figure S11."""


@dataclasses.dataclass
class _Watch(TorchDispatchMode):
    """Arrows of one pass in the order in which they happen, and the logits that are alive meanwhile."""

    vocabulary: int
    targets_RN: Tensor

    def __post_init__(self) -> None:
        super().__init__()
        self.arrows: list[Arrow] = []
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        """Storages of the shape of logits, each with the number of the loss that it was made for."""
        self.losses = 0
        self.most_losses = self.most_buffers = 0

    def add(self, direction: str, start: str, end: str) -> None:
        """Note an arrow; an operation of a loss may come several times on end."""
        if self.arrows[-1:] != [(direction, start, end)]:
            self.arrows.append((direction, start, end))

    # ---- modules -------------------------------------------------------------------------------------

    def watch_state(self, state: Tensor, module: str, source: str) -> None:
        """A module has computed `state` from the state of `source`; its gradient will go back there."""
        self.add("forward", source, module)
        if state.requires_grad:
            state.register_hook(lambda _: self.add("backward", module, source))  # type: ignore[no-untyped-call]

    # ---- losses and logits ---------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        self.keep_count(given, made)
        name = func.overloadpacket.__name__
        if name in LOOKS_UP and any(self.is_logits(t) for t in given):
            for targets in (t for t in given if t.dtype == torch.int64 and t.numel() == len(self.targets_RN)):
                self.look_up(LOOKS_UP[name], targets.flatten())
        return result

    def look_up(self, direction: str, targets_R: Tensor) -> None:
        (head,) = [i + 1 for i, own_R in enumerate(self.targets_RN.T) if torch.equal(own_R, targets_R)]
        way = (f"head {head}", f"loss {head}") if direction == "forward" else (f"loss {head}", f"head {head}")
        self.add(direction, *way)

    def is_logits(self, t: Tensor) -> bool:
        return t.is_floating_point() and t.shape[-1:] == (self.vocabulary,) and t.numel() == ROWS * self.vocabulary

    def keep_count(self, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        """What is made of logits belongs to their loss; what is made of none belongs to the next one."""
        self.alive = {key: held for key, held in self.alive.items() if not held[0].expired()}
        of = [self.alive[key][1] for t in given if (key := t.untyped_storage()._cdata) in self.alive]
        for t in made:
            key = t.untyped_storage()._cdata
            if self.is_logits(t) and key not in self.alive:
                self.losses += not of
                self.alive[key] = (StorageWeakRef(t.untyped_storage()), of[0] if of else self.losses)
        self.most_buffers = max(self.most_buffers, len(self.alive))
        self.most_losses = max(self.most_losses, len({loss for _, loss in self.alive.values()}))


def observe(config: RunConfig) -> _Watch:
    """One pass forward and backward over `ROWS` positions of random tokens."""
    small = dataclasses.replace(config, context=ROWS, batch_size=1, micro_batch=0, precision="float32")
    generator = torch.Generator().manual_seed(0)
    # No token twice: then the targets of the heads differ.
    window_BS = torch.randperm(small.vocab_size, generator=generator)[None, : ROWS + small.n_future]
    targets_RN = split_window(window_BS, small.n_future)[1][0]
    model = Model(small)
    watch = _Watch(small.vocab_size, targets_RN)

    def trunk_computed(module: nn.Module, given: tuple[Any, ...], z_BTD: Tensor) -> None:
        watch.watch_state(z_BTD, "trunk", "input")

    def branch_computed(module: nn.Module, given: tuple[Any, ...], h_BTD: Tensor) -> None:
        branches = model.branches
        source = branches[given[0]].source
        watch.watch_state(h_BTD, _name(branches[given[0]]), "trunk" if source is None else _name(branches[source]))

    model.trunk.register_forward_hook(trunk_computed)
    model.heads.register_forward_hook(branch_computed)
    with watch:
        backward(model, window_BS, [1.0] * small.n_future, [ROWS] * small.n_future)
    return watch


def _name(branch: Any) -> str:
    """`head 2`; where several heads predict from one state, `heads 1 to 4`."""
    heads = [head + 1 for head in branch.heads]
    return f"head {heads[0]}" if len(heads) == 1 else f"heads {heads[0]} to {heads[-1]}"


def in_order(observed: Sequence[Arrow], wanted: Sequence[Arrow]) -> int:
    """Length of the longest common subsequence: how many of `wanted` happen in that order."""
    best = [0] * (len(wanted) + 1)
    for arrow in observed:
        above = best[:]
        for j, other in enumerate(wanted):
            best[j + 1] = above[j] + 1 if arrow == other else max(above[j + 1], best[j])
    return best[-1]


def run(configs: list[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """Order and logits of every configuration; no settings. What is counted is exact, so that claims can use it.

    `share_in_order` is there where the paper draws an order: two parallel heads, or two in a causal chain.

    Raises:
        UserError: settings.
    """
    settings = checked(settings, {}, {})
    runs: dict[str, dict[str, Any]] = {}
    for config in configs:
        watch = observe(config)
        values: dict[str, float] = {
            "steps": len(watch.arrows),
            "heads_with_logits": watch.most_losses,
            "logits_buffers": watch.most_buffers,
        }
        wanted = PAPER.get(config.heads, []) if config.n_future == 2 else []
        if wanted:
            values["share_in_order"] = 100 * in_order(watch.arrows, wanted) / len(wanted)
        order = [dict(zip(("direction", "from", "to"), arrow, strict=True)) for arrow in watch.arrows]
        metrics = [number(name, value, value, value) for name, value in values.items()]
        runs[config.name()] = {"metrics": metrics, "order": order}
    return {"status": "measured", "reason": "", "settings": settings, "runs": runs}

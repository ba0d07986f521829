"""The model with caches: prompts, plain steps, and rounds that verify drafts and draft again.

Shapes: B rows, T = J + 1 new tokens of each, J drafts, S cached positions, D dim, K heads in use, V vocabulary.
"""

import dataclasses
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mtp.block import Rope
from mtp.cache import KeyValues, Places, tables
from mtp.config import RunConfig
from mtp.errors import UserError
from mtp.heads._blocks import BlockHeads
from mtp.model import Model
from mtp.stack import Stack

LEAST = 128
"""Cached positions that the shortest compiled step reads; the next ones read twice as many each."""
STEPS: "weakref.WeakKeyDictionary[Model, dict[Any, Callable[..., Tensor]]]" = weakref.WeakKeyDictionary()
"""Model -> its compiled steps, by what their graphs depend on."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A computed prompt: one row of caches."""

    caches: list[KeyValues]
    row: int
    tokens: int
    logits_KV: Tensor
    """Of every head in use, after the last token."""


def input_by_input(model: Model) -> None:
    """On a CPU, store matrices such that products with few rows read memory in order; shapes and values stay.

    A plain step of one row is 11 % faster at 10M. In place, since a second copy of all weights may not fit.
    """
    with torch.inference_mode(False):  # what is made inside could not be trained any more
        for module in model.modules():
            if isinstance(module, nn.Linear) and module.weight.device.type == "cpu":
                module.weight.data = module.weight.data.t().contiguous().t()


def check_heads(config: RunConfig, heads: int) -> None:
    """
    Raises:
        UserError: more heads than the model has, or heads that cannot draft.
    """
    if not 1 <= heads <= config.n_future:
        raise UserError(f"heads: {heads} is not in 1..{config.n_future}, the heads of the model")
    if heads > 1 and config.layout.reads_ahead:
        raise UserError(
            f"heads: those of the {config.heads} layout read the tokens ahead of them, so that head 2 could draft"
            " only after head 1 has spoken; they cannot draft in the pass that verifies"
        )


def unguarded(step: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The step through `torch.compile`, for calls that are alike in all but the contents of tensors.

    That nothing else has changed is not looked at again in every call, which takes a quarter to a third of one at 1M.
    Graphs belong to code, so that of the step is copied: two steps must not take each other's.

    Raises (when called):
        UserError: it could not be compiled.
    """
    assert isinstance(step, types.FunctionType)
    own = types.FunctionType(step.__code__.replace(), step.__globals__, step.__name__)
    options: dict[str, Any] = {"guard_filter_fn": lambda guards: [False] * len(guards), "cpp_wrapper": True}
    fast = torch.compile(own, dynamic=False, fullgraph=True, options=options)

    def call(*arguments: Any) -> Tensor:
        try:
            return fast(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"compile: {reason}; torch.compile needs a C++ compiler, or leave compile out") from None

    return call


class Decoder:
    """Caches of B rows and the model's steps over them.

    Heads 2..k keep keys and values at the positions that head 1 accepts; what stands behind a row's last accepted token
    is never seen and is written over, so that taking drafts back costs nothing.
    """

    def __init__(self, model: Model, rows: int, heads: int = 1, compile: bool = False) -> None:
        """
        Args:
            heads: k, how many of the model's heads are used.
            compile: plain steps through `torch.compile`: a minute for each of a few lengths, and then 3 to 4 times as
                fast at 1M. Prompts and rounds are not compiled.

        Raises:
            UserError: more heads than the model has, or heads that cannot draft.
        """
        config = model.config
        check_heads(config, heads)
        input_by_input(model)
        self.model = model
        self.compiles = compile
        self.device = next(model.parameters()).device
        self.context = config.context
        # Drafts may stand behind the last position of the context; they are never kept.
        positions = self.context + heads - 1
        rope = model.rope
        if len(rope.get_buffer("cos")) < positions:
            rope = Rope(config.dim // config.attention_heads, config.rope_theta, positions).to(self.device)
        self.tables = tables(*rope.tables(positions))
        self.path = model.path(0)
        """Branches that plain decoding needs."""
        self._plan(heads)
        self.trunk_layers = config.trunk_layers
        self.caches = self.new_caches(rows, positions)

    def _plan(self, heads: int) -> None:
        """What drafting needs besides plain decoding: links, which other branches stand on, and leaves, which all
        stand on one state."""
        model = self.model
        others = sorted({branch for head in range(heads) for branch in model.path(head)} - set(self.path))
        sources = {model.branches[branch].source for branch in others}
        self.heads = heads
        self.links = [branch for branch in others if branch in sources]
        self.leaves = [branch for branch in others if branch not in sources]
        blocks = [model.heads.blocks[leaf] for leaf in self.leaves] if isinstance(model.heads, BlockHeads) else []
        self.stack = Stack(blocks) if blocks else None  # type: ignore[arg-type]

    def new_caches(self, rows: int, positions: int) -> list[KeyValues]:
        """One per trunk layer, per branch to head 1 and per link, and one for all leaves; empty where unused."""
        config = self.model.config
        dtype = torch.get_autocast_dtype(self.device.type) if torch.is_autocast_enabled(self.device.type) else None
        like = torch.empty(0, device=self.device, dtype=dtype or self.model.embedding.weight.dtype)
        branches = positions if config.layout.layers_per_head else 0
        lengths = [positions] * config.trunk_layers + [branches] * (len(self.path) + len(self.links))
        shapes = [(1, length) for length in lengths] + ([(len(self.leaves), positions)] if self.stack else [])
        heads, width = config.attention_heads, config.dim // config.attention_heads
        return [KeyValues(like.new_zeros(2, blocks, rows, heads, length, width)) for blocks, length in shapes]

    # ---- steps ---------------------------------------------------------------------------------------

    def _pass(
        self, tokens_BT: Tensor, positions_BT: Tensor, caches: list[KeyValues], reach: int
    ) -> tuple[dict[int | None, Tensor], Places]:
        """States of the trunk (None) and of the branches to head 1 at new tokens, which are added to the caches."""
        places = Places(positions_BT, reach, caches[0], *self.tables)
        states: dict[int | None, Tensor] = {None: self.model.trunk_states(tokens_BT, caches=caches, places=places)}
        self._branches(self.path, states, caches[self.trunk_layers :], places)
        return states, places

    def _branches(
        self, branches: Sequence[int], states: dict[int | None, Tensor], caches: list[KeyValues], places: Places
    ) -> None:
        """Add the states of branches whose sources are there."""
        for branch, cache in zip(branches, caches, strict=False):
            source = states[self.model.branches[branch].source]
            states[branch] = self.model.branch(branch, source, cache=cache, places=places)

    def _drafting(
        self, states: dict[int | None, Tensor], places: Places, caches: list[KeyValues], at_B: Tensor
    ) -> Tensor:
        """Logits of heads 2..k at one position of each row; their caches take all positions: -> logits_BJV."""
        model, rows_B = self.model, torch.arange(len(at_B), device=self.device)
        self._branches(self.links, states, caches[self.trunk_layers + len(self.path) :], places)
        there = {branch: states[branch][rows_B, at_B] for branch in (*self.path, *self.links)}
        if self.leaves:
            x_BTD = states[model.branches[self.leaves[0]].source]
            if self.stack:
                answers = self.stack.decode(x_BTD, caches[-1], places, at_B).unbind()
            else:
                answers = tuple(model.branch(leaf, x_BTD[rows_B, at_B]) for leaf in self.leaves)
            there |= zip(self.leaves, answers, strict=True)
        found = [there[model.path(head)[-1]] for head in range(1, self.heads)]
        if len(model.unembeddings) == 1:
            return model.logits(1, torch.stack(found, 1)).float()
        return torch.stack([model.logits(head, h_BD) for head, h_BD in enumerate(found, 1)], 1).float()

    def logits(self, tokens_B: Tensor, positions_B: np.ndarray, reach: int) -> Tensor:
        """A plain step: next-token logits_BV after one more token of every row."""
        tokens_B1, positions_B1 = tokens_B[:, None], torch.from_numpy(positions_B).to(self.device)[:, None]
        step = Decoder._step
        if self.compiles:
            reach = self._bucket(reach)
            step = self._compiled(reach)
        return step(self, tokens_B1, positions_B1, reach)

    def _step(self, tokens_B1: Tensor, positions_B1: Tensor, reach: int) -> Tensor:
        states, _ = self._pass(tokens_B1, positions_B1, self.caches, reach)
        return self.model.logits(0, states[self.path[-1]][:, -1]).float()

    def _bucket(self, reach: int) -> int:
        """Positions that a compiled step reads: few lengths, each of which is compiled for itself."""
        longest = self.caches[0].both_2JBHSK.shape[4]
        bucket = LEAST
        while bucket < reach:
            bucket *= 2
        return min(bucket, longest)

    def _compiled(self, reach: int) -> Callable[..., Tensor]:
        """The step over so many positions; compiled when it is first called."""
        cache = self.caches[0].both_2JBHSK
        key = (reach, cache.shape, cache.dtype, torch.is_autocast_enabled(self.device.type))
        steps = STEPS.setdefault(self.model, {})
        if key not in steps:
            steps[key] = unguarded(Decoder._step)
        return steps[key]

    def round(
        self,
        tokens_BT: Tensor,
        positions_B: np.ndarray,
        reach: int,
        verify: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One pass over the last token of every row and its drafts.

        Args:
            tokens_BT: last token and J drafts.
            positions_B: of the last tokens.
            reach: more than any position of a draft.
            verify: logits_BTV -> how many drafts of each row are accepted.

        Returns:
            logits_BTV of head 1, accepted_B, and logits_BJV of heads 2..k after the last accepted token.
        """
        start_B = torch.from_numpy(positions_B).to(self.device)
        positions_BT = start_B[:, None] + torch.arange(tokens_BT.shape[1], device=self.device)
        states, places = self._pass(tokens_BT, positions_BT, self.caches, reach)
        logits_BTV = self.model.logits(0, states[self.path[-1]]).float()
        accepted_B = verify(logits_BTV)
        return logits_BTV, accepted_B, self._drafting(states, places, self.caches, accepted_B)

    def prefill(self, prompts: Sequence[np.ndarray]) -> list[Prompt]:
        """Compute prompts side by side, padded on the right: nothing sees what stands behind it."""
        lengths = [len(prompt) for prompt in prompts]
        B, T = len(prompts), max(lengths)
        tokens_BT = np.zeros((B, T), dtype=np.int64)
        for row_T, prompt in zip(tokens_BT, prompts, strict=True):
            row_T[: len(prompt)] = prompt
        caches, positions_BT = self.new_caches(B, T), torch.arange(T, device=self.device).expand(B, T)
        states, places = self._pass(torch.from_numpy(tokens_BT).to(self.device), positions_BT, caches, T)
        last_B = torch.tensor(lengths, device=self.device) - 1
        rows_B = torch.arange(B, device=self.device)
        logits_BKV = self.model.logits(0, states[self.path[-1]][rows_B, last_B])[:, None].float()
        if self.heads > 1:
            logits_BKV = torch.cat([logits_BKV, self._drafting(states, places, caches, last_B)], 1)
        return [Prompt(caches, row, length, logits_BKV[row]) for row, length in enumerate(lengths)]

    # ---- rows ----------------------------------------------------------------------------------------

    def start(self, row: int, prompt: Prompt) -> None:
        """Give a row the keys and values of a prompt."""
        for mine, theirs in zip(self.caches, prompt.caches, strict=True):
            length = min(prompt.tokens, theirs.both_2JBHSK.shape[4])
            mine.both_2JBHSK[:, :, row, :, :length] = theirs.both_2JBHSK[:, :, prompt.row, :, :length]

    def keep(self, rows_B: Tensor) -> None:
        """Drop all other rows."""
        for cache in self.caches:
            cache.both_2JBHSK = cache.both_2JBHSK[:, :, rows_B]

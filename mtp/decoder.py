"""The model with caches: prompts, plain steps, and rounds that verify drafts and draft again.

Shapes: B rows, T = J + 1 new tokens of each, J drafts, S cached positions, D dim, V vocabulary.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtp.block import Rope
from mtp.cache import KeyValues, Places
from mtp.errors import UserError
from mtp.model import Model


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A computed prompt: one row of caches."""

    caches: list[KeyValues]
    row: int
    tokens: int
    logits_KV: Tensor
    """Of every head in use, after the last token."""


class Decoder:
    """Caches of B rows and the model's steps over them.

    Heads 2..k keep keys and values at the positions that head 1 accepts; what stands behind a row's last accepted token
    is never seen and is written over, so that taking drafts back costs nothing.
    """

    def __init__(self, model: Model, rows: int, heads: int = 1) -> None:
        """`heads`: k, how many of the model's heads are used.

        Raises:
            UserError: more heads than the model has, or heads that cannot draft.
        """
        config = model.config
        if not 1 <= heads <= config.n_future:
            raise UserError(f"heads: {heads} is not in 1..{config.n_future}, the heads of the model")
        if heads > 1 and config.layout.reads_ahead:
            raise UserError(
                f"heads: those of the {config.heads} layout read the tokens ahead of them, so that head 2 could draft"
                " only after head 1 has spoken; they cannot draft in the pass that verifies"
            )
        self.model, self.heads = model, heads
        self.device = next(model.parameters()).device
        self.context = config.context
        # Drafts may stand behind the last position of the context; they are never kept.
        positions = self.context + heads - 1
        rope = model.rope
        if len(rope.get_buffer("cos")) < positions:
            rope = Rope(config.dim // config.attention_heads, config.rope_theta, positions).to(self.device)
        self.cos_SK, self.sin_SK = rope.tables(positions)
        self.path = model.path(0)
        """Branches that plain decoding needs."""
        self.others = self._others(heads)
        """Branches that drafting needs besides, sources first."""
        self.caches = self.new_caches(rows, positions)

    def _others(self, heads: int) -> tuple[int, ...]:
        needed = {branch for head in range(heads) for branch in self.model.path(head)}
        return tuple(sorted(needed - set(self.path)))

    def new_caches(self, rows: int, positions: int) -> list[KeyValues]:
        """One per trunk layer and one per branch, those of plain decoding first; without positions where unused."""
        config = self.model.config
        dtype = torch.get_autocast_dtype(self.device.type) if torch.is_autocast_enabled(self.device.type) else None
        like = torch.empty(0, device=self.device, dtype=dtype or self.model.embedding.weight.dtype)
        branches = len(self.path) + len(self.others)
        lengths = [positions] * config.trunk_layers + [positions if config.layout.layers_per_head else 0] * branches
        heads = config.attention_heads
        return [KeyValues(rows, heads, length, config.dim // heads, like) for length in lengths]

    # ---- steps ---------------------------------------------------------------------------------------

    def _pass(
        self, tokens_BT: Tensor, positions_BT: Tensor, caches: list[KeyValues], reach: int
    ) -> tuple[dict[int | None, Tensor], dict[str, Any]]:
        """States of the trunk (None) and of the branches to head 1 at new tokens, which are added to the caches."""
        where: dict[str, Any] = {"places": Places(positions_BT, reach, caches[0], self.cos_SK, self.sin_SK)}
        states: dict[int | None, Tensor] = {None: self.model.trunk_states(tokens_BT, caches=caches, **where)}
        for at, branch in enumerate(self.path, self.model.config.trunk_layers):
            source = states[self.model.branches[branch].source]
            states[branch] = self.model.branch(branch, source, cache=caches[at], **where)
        return states, where

    def _drafting(
        self, states: dict[int | None, Tensor], where: dict[str, Any], caches: list[KeyValues], at_B: Tensor
    ) -> Tensor:
        """Logits of heads 2..k at one position of each row; their caches take all positions: -> logits_BJV."""
        model, places = self.model, where["places"]
        places.only(at_B)
        sources = {model.branches[branch].source for branch in self.others}
        layers = model.config.layout.layers_per_head
        last: dict[int | None, Tensor] = {}
        first = model.config.trunk_layers + len(self.path)
        for cache, branch in zip(caches[first:], self.others, strict=True):
            x_BTD = states[model.branches[branch].source]
            if branch in sources:
                states[branch] = model.branch(branch, x_BTD, cache=cache, **where)
            elif layers:  # nothing stands on it: one query per row will do
                last[branch] = model.branch(branch, x_BTD, cache=cache, one=True, **where)
            else:
                last[branch] = model.branch(branch, places.there(x_BTD), cache=cache, **where)
        found = []
        for head in range(1, self.heads):
            branch = model.path(head)[-1]
            found.append(last[branch] if branch in last else places.there(states[branch]))
        if len(model.unembeddings) == 1:
            return model.logits(1, torch.cat(found, 1)).float()
        return torch.cat([model.logits(head, h_B1D) for head, h_B1D in enumerate(found, 1)], 1).float()

    def logits(self, tokens_B: np.ndarray, positions_B: np.ndarray, reach: int) -> Tensor:
        """A plain step: next-token logits_BV after one more token of every row."""
        tokens_B1, positions_B1 = (torch.from_numpy(x_B)[:, None].to(self.device) for x_B in (tokens_B, positions_B))
        states, _ = self._pass(tokens_B1, positions_B1, self.caches, reach)
        return self.model.logits(0, states[self.path[-1]][:, -1]).float()

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
        states, where = self._pass(tokens_BT, positions_BT, self.caches, reach)
        logits_BTV = self.model.logits(0, states[self.path[-1]]).float()
        accepted_B = verify(logits_BTV)
        return logits_BTV, accepted_B, self._drafting(states, where, self.caches, accepted_B)

    def prefill(self, prompts: Sequence[np.ndarray]) -> list[Prompt]:
        """Compute prompts side by side, padded on the right: nothing sees what stands behind it."""
        lengths = [len(prompt) for prompt in prompts]
        B, T = len(prompts), max(lengths)
        tokens_BT = np.zeros((B, T), dtype=np.int64)
        for row_T, prompt in zip(tokens_BT, prompts, strict=True):
            row_T[: len(prompt)] = prompt
        caches, positions_BT = self.new_caches(B, T), torch.arange(T, device=self.device).expand(B, T)
        states, where = self._pass(torch.from_numpy(tokens_BT).to(self.device), positions_BT, caches, T)
        last_B = torch.tensor(lengths, device=self.device) - 1
        rows_B = torch.arange(B, device=self.device)
        logits_BKV = self.model.logits(0, states[self.path[-1]][rows_B, last_B])[:, None].float()
        if self.heads > 1:
            logits_BKV = torch.cat([logits_BKV, self._drafting(states, where, caches, last_B)], 1)
        return [Prompt(caches, row, length, logits_BKV[row]) for row, length in enumerate(lengths)]

    # ---- rows ----------------------------------------------------------------------------------------

    def start(self, row: int, prompt: Prompt) -> None:
        """Give a row the keys and values of a prompt."""
        for mine, theirs in zip(self.caches, prompt.caches, strict=False):  # heads may have been given up since
            length = min(prompt.tokens, theirs.keys_BHSK.shape[2])
            mine.keys_BHSK[row, :, :length] = theirs.keys_BHSK[prompt.row, :, :length]
            mine.values_BHSK[row, :, :length] = theirs.values_BHSK[prompt.row, :, :length]

    def keep(self, rows_B: Tensor) -> None:
        """Drop all other rows."""
        for cache in self.caches:
            cache.keys_BHSK, cache.values_BHSK = cache.keys_BHSK[rows_B], cache.values_BHSK[rows_B]

    def use(self, heads: int) -> None:
        """Go on with the first `heads` heads only."""
        others = self._others(heads)
        plain = self.model.config.trunk_layers + len(self.path)
        kept = [cache for cache, branch in zip(self.caches[plain:], self.others, strict=True) if branch in others]
        self.heads, self.others, self.caches = heads, others, [*self.caches[:plain], *kept]

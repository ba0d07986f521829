"""Rows that are decoded together: what is known of each between two passes of the model.

Shapes: B rows, T = J + 1 new tokens of each, J drafts, V vocabulary, M most tokens of a completion.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtp.completions import Ending, Request, Row, Sample
from mtp.data.vocabulary import Vocabulary
from mtp.decoder import Decoder, Prompt
from mtp.sampling import Sampling, draw, invert, nucleus, uniforms
from mtp.speculation import Speculation, Tally, accept_exact, accept_greedy, accept_typical, left_over


class Batch:
    """B rows in the making: what is known of each, and the two things done to all of them, drawing and a pass.

    Between two passes a row has the law of its next token (`logits_BV`, less `rejected_BV` where a draft was rejected)
    and its heads' logits of the tokens after that one (`drafts_BJV`).
    """

    def __init__(
        self,
        decoder: Decoder,
        vocabulary: Vocabulary,
        sampling: Sampling,
        speculation: Speculation,
        tally: Tally,
        rows: int,
    ) -> None:
        self.decoder, self.sampling, self.speculation, self.tally = decoder, sampling, speculation, tally
        self.pad = vocabulary.pad
        self.ending = Ending(vocabulary, sampling)
        self.rows: list[Row | None] = [None] * rows
        self.positions_B, self.counts_B, self.limits_B = (np.zeros(rows, dtype=np.int64) for _ in range(3))
        self.uniform_B3M = np.zeros((rows, 3, sampling.max_tokens))
        self.logits_BV = torch.zeros(rows, vocabulary.size, device=decoder.device)
        self.rejected_BV: Tensor | None = None
        self.drafts_BJV = self.logits_BV[:, None].repeat(1, decoder.heads - 1, 1)

    @property
    def live(self) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row is not None]

    def start(self, i: int, request: Request, prompt: Prompt) -> None:
        """Give place i to a request."""
        self.decoder.start(i, prompt)
        self.logits_BV[i] = prompt.logits_KV[0]
        if self.rejected_BV is not None:
            self.rejected_BV[i] = 0
        self.drafts_BJV[i] = prompt.logits_KV[1 : self.decoder.heads]
        self.rows[i] = Row(request)
        self.positions_B[i], self.counts_B[i] = prompt.tokens - 1, 0
        self.limits_B[i] = min(self.sampling.max_tokens, request.limit or self.sampling.max_tokens)
        self.uniform_B3M[i] = uniforms(self.sampling, request.problem, request.sample)

    def keep(self, places: list[int]) -> None:
        """Drop all other places."""
        self.rows = [self.rows[i] for i in places]
        self.positions_B, self.counts_B = self.positions_B[places], self.counts_B[places]
        self.limits_B, self.uniform_B3M = self.limits_B[places], self.uniform_B3M[places]
        keep_B = torch.as_tensor(places, device=self.decoder.device)
        self.logits_BV, self.drafts_BJV = self.logits_BV[keep_B], self.drafts_BJV[keep_B]
        self.rejected_BV = None if self.rejected_BV is None else self.rejected_BV[keep_B]
        self.decoder.keep(keep_B)

    def _uniform(self, stream: int, ahead: int) -> Tensor:
        """Every row's number for the token that is `ahead` places behind the next one that it lacks."""
        at_B = (self.counts_B + ahead) % self.sampling.max_tokens  # tokens behind the last are never kept
        return torch.from_numpy(self.uniform_B3M[np.arange(len(at_B)), stream, at_B]).to(self.decoder.device)

    def next_tokens(self) -> Tensor:
        """Draw the next token of every row: tokens_B."""
        self.logits_BV[:, self.pad] = -torch.inf
        temperature, top_p = self.sampling.temperature, self.sampling.top_p
        if temperature == 0:
            return self.logits_BV.argmax(-1)
        if self.rejected_BV is None:
            return draw(self.logits_BV, self._uniform(0, 0), temperature, top_p)
        p_BV = nucleus(self.logits_BV, temperature, top_p)
        return invert(left_over(p_BV / p_BV.sum(-1, keepdim=True), self.rejected_BV), self._uniform(0, 0))

    def next_drafts(self) -> tuple[Tensor, Tensor | None]:
        """Draw a draft from every further head: drafts_BJ, and the laws q_BJV they are drawn from (if they are)."""
        self.drafts_BJV[:, :, self.pad] = -torch.inf
        temperature, top_p = self.sampling.temperature, self.sampling.top_p
        if temperature == 0 or self.speculation.acceptance == "typical":
            return self.drafts_BJV.argmax(-1), None
        if self.speculation.drafts == "argmax":
            drafts_BJ = self.drafts_BJV.argmax(-1)
            return drafts_BJ, F.one_hot(drafts_BJ, self.drafts_BJV.shape[-1]).float()
        B, J, V = self.drafts_BJV.shape
        q_BJV = nucleus(self.drafts_BJV.view(B * J, V), temperature, top_p)
        uniform_BJ = torch.stack([self._uniform(1, j) for j in range(J)], 1)
        drafts_BJ = invert(q_BJV, uniform_BJ.flatten()).view(B, J)
        return drafts_BJ, (q_BJV / q_BJV.sum(-1, keepdim=True)).view(B, J, V)

    def add(self, i: int, token: int) -> bool:
        """One more token of row i; whether the row ends with it."""
        row, ending = self.rows[i], self.ending
        assert row is not None
        row.tokens.append(token)
        self.positions_B[i] += 1
        self.counts_B[i] += 1
        if ending.may_stop_V[token] and ending.stopped(row.tokens):
            row.finish = "stop"
        elif token == ending.separator:
            row.finish = "end of document"
        elif self.counts_B[i] == self.limits_B[i] or self.positions_B[i] == self.decoder.context:
            row.finish = "length"
        return row.finish is not None

    def take(self, i: int) -> Sample:
        """The finished completion of place i, which becomes empty."""
        row, self.rows[i] = self.rows[i], None
        assert row is not None and row.finish is not None
        text = self.ending.text(row.tokens)
        return Sample(row.request.problem, row.request.sample, text, row.tokens, row.finish)

    def plain_pass(self, tokens_B: Tensor) -> None:
        """The model's next step; places that are empty compute something that nobody reads."""
        self._within_reach()
        self.logits_BV = self.decoder.logits(tokens_B, self.positions_B, self._reach)
        self.rejected_BV = None
        self.tally.round(1, [0] * len(self.live))

    def drafted_pass(self, tokens_B: Tensor) -> list[tuple[int, list[int]]]:
        """One pass that verifies drafts and drafts anew: the accepted drafts of every live row."""
        self._within_reach()
        drafts_BJ, q_BJV = self.next_drafts()
        temperature, top_p = self.sampling.temperature, self.sampling.top_p
        J = drafts_BJ.shape[1]

        def verify(logits_BTV: Tensor) -> Tensor:
            logits_BTV[:, :, self.pad] = -torch.inf
            if temperature == 0:
                return accept_greedy(logits_BTV, drafts_BJ)
            p_BTV = nucleus(logits_BTV.flatten(0, 1), temperature, top_p).view(logits_BTV.shape)
            p_BTV /= p_BTV.sum(-1, keepdim=True)
            if q_BJV is None:
                return accept_typical(p_BTV, drafts_BJ)
            return accept_exact(p_BTV, q_BJV, drafts_BJ, torch.stack([self._uniform(2, j) for j in range(J)], 1))

        tokens_BT = torch.cat([tokens_B[:, None], drafts_BJ], 1)
        logits_BTV, accepted_B, self.drafts_BJV = self.decoder.round(
            tokens_BT, self.positions_B, self._reach + J, verify
        )
        rows_B = torch.arange(len(tokens_B), device=self.decoder.device)
        self.logits_BV = logits_BTV[rows_B, accepted_B]
        if q_BJV is not None:
            rejected_BV = q_BJV[rows_B, accepted_B.clamp_max(J - 1)]
            self.rejected_BV = rejected_BV * (accepted_B < J)[:, None]
        live, accepted, drafts = self.live, accepted_B.tolist(), drafts_BJ.tolist()
        self.tally.round(1 + J, [accepted[i] for i in live])
        return [(i, drafts[i][: accepted[i]]) for i in live]

    def _within_reach(self) -> None:
        """Empty places must not stand further than the others: what they would reach does not exist."""
        self._reach = int(self.positions_B[self.live].max()) + 1
        np.minimum(self.positions_B, self._reach - 1, out=self.positions_B)

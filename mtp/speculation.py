"""Self-speculative decoding: which drafts of heads 2..k are accepted, and what was counted (Section 3.2).

A round is one pass of the model over the last token and J = k - 1 drafts. Head 1 verifies the drafts; heads 2..k then
draft again from the position of the last one that was accepted. Nothing is verified twice or drafted in vain:

    tokens   x_t  d_1  d_2  d_3        p_0: what head 1 says after x_t, p_1: after d_1, ...
    head 1   p_0  p_1  p_2  p_3        d_1 is accepted by p_0, d_2 by p_1, ...; here d_3 is rejected:
                        |              the next token comes from p_2, and
    heads 2..k ---------+              the next drafts from the states at d_2

`exact` changes nothing about what the model says. At temperature 0 a draft is accepted if it is the token that plain
decoding would choose. Otherwise a draft is drawn from q, the head's own distribution with the same temperature and
nucleus, and accepted with probability min(1, p / q); after a rejection the token is drawn from what is left,
max(0, p - q), normalised (Leviathan et al., 2023): tokens then have the law p. The heads 2..k know the tokens up to x_t
only, so each draft's q is fixed before the draft in front of it is verified, as that proof needs. With `argmax` drafts
q is 1 at the head's most probable token: the same rule then accepts it with probability p.

`typical` (Cai et al., 2024) accepts the most probable draft wherever p gives it at least min(0.09, 0.3 exp(-entropy)).
It accepts more, and what comes out has another law.
"""

import dataclasses
from typing import Literal

import torch
from torch import Tensor

TYPICAL_FLOOR, TYPICAL_SHARE = 0.09, 0.3
"""Medusa's defaults: epsilon, and delta = sqrt(epsilon)."""


@dataclasses.dataclass(frozen=True)
class Speculation:
    """How drafts are used."""

    heads: int = 1
    """k: heads in use. 1 is plain decoding, which computes nothing of the others."""
    acceptance: Literal["exact", "typical"] = "exact"
    drafts: Literal["sampled", "argmax"] = "sampled"
    """How a head's draft is chosen where tokens are sampled: from the head's own law, or its most probable token."""


PLAIN = Speculation()


def leading(accepted_BJ: Tensor) -> Tensor:
    """How many drafts are accepted from the first on: (B, J) truths -> (B,) counts."""
    return accepted_BJ.long().cumprod(-1).sum(-1)


def accept_greedy(logits_BTV: Tensor, drafts_BJ: Tensor) -> Tensor:
    """Drafts that head 1 would have chosen, T = J + 1: counts (B,)."""
    return leading(logits_BTV[:, :-1].argmax(-1) == drafts_BJ)


def accept_exact(p_BTV: Tensor, q_BJV: Tensor, drafts_BJ: Tensor, uniform_BJ: Tensor) -> Tensor:
    """Drafts that keep the law p: counts (B,). p and q are normalised."""
    p_BJ, q_BJ = (x.gather(-1, drafts_BJ[..., None])[..., 0] for x in (p_BTV[:, :-1], q_BJV))
    return leading(uniform_BJ * q_BJ < p_BJ)


def accept_typical(p_BTV: Tensor, drafts_BJ: Tensor) -> Tensor:
    """Drafts that are typical of p: counts (B,)."""
    p_BJV = p_BTV[:, :-1]
    entropy_BJ = torch.special.entr(p_BJV).sum(-1)
    p_BJ = p_BJV.gather(-1, drafts_BJ[..., None])[..., 0]
    return leading(p_BJ >= (TYPICAL_SHARE * (-entropy_BJ).exp()).clamp_max(TYPICAL_FLOOR))


def left_over(p_BV: Tensor, q_BV: Tensor) -> Tensor:
    """What a token is drawn from after the draft from q was rejected: max(0, p - q), not normalised.

    Where rounding leaves nothing, p: then p = q, and the draft would have been accepted.
    """
    rest_BV = (p_BV - q_BV).clamp_min_(0)
    return torch.where(rest_BV.sum(-1, keepdim=True) > 0, rest_BV, p_BV)


@dataclasses.dataclass
class Tally:
    """Counts over rows and rounds."""

    rounds: int = 0
    """Rows times rounds: passes over the last token of a row."""
    calls: int = 0
    """Passes of the model, for all rows of a batch at once; prompts are not counted."""
    kept: int = 0
    """Tokens that came out, without the first one of each row, which the prompt's pass gives."""
    offered: list[int] = dataclasses.field(default_factory=list)
    """Drafts of head 2, 3, ... that were verified."""
    accepted: list[int] = dataclasses.field(default_factory=list)
    """Those of them that were accepted together with all before them."""

    def round(self, heads: int, accepted: list[int]) -> None:
        """Note a pass with the number of drafts that each row in it accepted."""
        self.calls += 1
        self.rounds += len(accepted)
        drafted = heads - 1
        self._drafts([len(accepted)] * drafted, [sum(count > j for count in accepted) for j in range(drafted)])

    def add(self, other: "Tally") -> None:
        """Add what was counted elsewhere."""
        self.rounds += other.rounds
        self.calls += other.calls
        self.kept += other.kept
        self._drafts(other.offered, other.accepted)

    def _drafts(self, offered: list[int], accepted: list[int]) -> None:
        missing = [0] * (len(offered) - len(self.offered))
        self.offered += missing
        self.accepted += missing
        for j, (more, right) in enumerate(zip(offered, accepted, strict=True)):
            self.offered[j] += more
            self.accepted[j] += right

    @property
    def tokens_per_forward(self) -> float:
        """Tokens of a row per pass over it; tokens dropped behind an end count as work, not as tokens."""
        return self.kept / max(1, self.rounds)

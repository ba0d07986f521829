"""Self-speculative decoding: what comes out is what plain decoding says, in as many passes as is claimed."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from mtp.batch import Batch
from mtp.config import head_layouts, layout_of
from mtp.data.vocabulary import ByteVocabulary
from mtp.decoder import Decoder
from mtp.errors import UserError
from mtp.generate import Request, Sample, Sampling, generate
from mtp.model import Model
from mtp.pace import Pace, Trial
from mtp.sampling import invert, nucleus
from mtp.speculation import Speculation, Tally, accept_exact, accept_greedy, accept_typical, left_over
from tests.conftest import tiny

BYTES = ByteVocabulary()
DRAFTING = [layout for layout in head_layouts() if not layout_of(layout).reads_ahead]


class EndsAt(ByteVocabulary):
    """Bytes that end a document with one of one's choice."""

    def __init__(self, separator: int) -> None:
        self.separator = separator


def requests(lengths: Sequence[int], seed: int = 7) -> list[Request]:
    rng = np.random.default_rng(seed)
    return [Request(i, 0, rng.integers(0, 250, length)) for i, length in enumerate(lengths)]


def by_key(samples: Sequence[Sample]) -> dict[tuple[int, int], Sample]:
    return {(s.problem, s.sample): s for s in samples}


def successor(token: int, steps: int = 1) -> int:
    """A permutation of the bytes below 250."""
    for _ in range(steps):
        token = (token * 3 + 7) % 250
    return token


def knowing(n: int, wrong: Sequence[int] = (), context: int = 40) -> Model:
    """A model whose head i says the i-th successor of the last token; heads in `wrong` say something else."""
    model = Model(tiny(heads="replicated", n_future=n, context=context, dim=64, attention_heads=2))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("attention.out.weight", "ffn.down.weight")):
                weight.zero_()  # the state is the embedding of the last token
        for head in range(n):
            for token in range(250):
                said = successor(token, head + 1) if head + 1 not in wrong else (successor(token, head + 1) + 1) % 250
                model.unembedding(head)[said] = model.embedding.weight[token]
    return model


# ---- greedy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", DRAFTING)
def test_greedy_is_that_of_plain_decoding(layout: str, dtype: torch.dtype) -> None:
    """For every k, batch size, and prompt length up to and beyond the context; drafts are mostly rejected here."""
    model = Model(tiny(heads=layout, n_future=3, layers=5)).to(dtype)
    wanted = requests(range(1, 20))
    sampling = Sampling(max_tokens=9)
    plain = by_key(list(generate(model, BYTES, wanted, sampling)))
    assert len(plain) == len(wanted)
    for heads, size in itertools.product([1, 2, 3], [1, 4, 30]):
        found = by_key(list(generate(model, BYTES, wanted, sampling, size, Speculation(heads))))
        assert found == plain, (heads, size)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_greedy_with_drafts_of_any_quality(data: st.DataObject) -> None:
    """Heads that are right, wrong, or right behind a wrong one; ends of text and budgets inside an accepted block."""
    n = data.draw(st.integers(2, 5))
    model = knowing(n, wrong=data.draw(st.lists(st.integers(2, n), max_size=2)))
    lengths = data.draw(st.lists(st.integers(1, 45), min_size=1, max_size=6))
    wanted = [
        dataclasses.replace(request, limit=data.draw(st.one_of(st.none(), st.integers(1, 30))))
        for request in requests(lengths, seed=data.draw(st.integers(0, 99)))
    ]
    vocabulary = EndsAt(data.draw(st.integers(0, 249)))
    sampling = Sampling(max_tokens=data.draw(st.integers(1, 30)), stops=("a", "zq"))
    plain = by_key(list(generate(model, vocabulary, wanted, sampling)))
    heads, size = data.draw(st.integers(2, n)), data.draw(st.integers(1, 8))
    tally = Tally()
    found = by_key(list(generate(model, vocabulary, wanted, sampling, size, Speculation(heads), tally)))
    assert found == plain
    assert tally.kept == sum(len(sample.tokens) - 1 for sample in found.values())
    assert tally.rounds <= tally.kept <= heads * tally.rounds


def test_right_drafts_are_all_accepted() -> None:
    model, tally = knowing(4), Tally()
    (sample,) = generate(model, BYTES, requests([3]), Sampling(max_tokens=25), speculation=Speculation(4), tally=tally)
    start = int(requests([3])[0].prompt[-1])
    assert sample.tokens == [successor(start, i + 1) for i in range(25)]
    # The prompt's pass gives one token, six passes give four each.
    assert (tally.rounds, tally.kept, tally.accepted, tally.offered) == (6, 24, [6, 6, 6], [6, 6, 6])
    assert tally.tokens_per_forward == 4


def test_what_stands_behind_a_wrong_draft_is_dropped() -> None:
    model, tally = knowing(4, wrong=[3]), Tally()
    list(generate(model, BYTES, requests([3]), Sampling(max_tokens=25), speculation=Speculation(4), tally=tally))
    assert tally.accepted == [12, 0, 0] and tally.rounds == 12 and tally.tokens_per_forward == 2


def test_nothing_behind_an_end_of_document() -> None:
    start = int(requests([3])[0].prompt[-1])
    for length in range(1, 9):
        vocabulary, tally = EndsAt(successor(start, length)), Tally()
        (sample,) = generate(
            knowing(4), vocabulary, requests([3]), Sampling(max_tokens=25), speculation=Speculation(4), tally=tally
        )
        assert sample.finish == "end of document" and len(sample.tokens) == length
        assert tally.rounds == -(-(length - 1) // 4)  # what was computed behind the end counts as work


@pytest.mark.parametrize("layout", DRAFTING)
def test_one_pass_per_round(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tally = Model(tiny(heads=layout, n_future=3, layers=5)), Tally()
    passes: list[int] = []
    trunk_states = Model.trunk_states

    def noted(self: Model, tokens_BT: torch.Tensor, *rest: object, **more: object) -> torch.Tensor:
        passes.append(tokens_BT.shape[1])
        return trunk_states(self, tokens_BT, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "trunk_states", noted)
    list(generate(model, BYTES, requests([5]), Sampling(max_tokens=6), 4, Speculation(3), tally))
    assert passes == [5] + [3] * tally.calls  # the prompt, then rounds of one token and two drafts


@pytest.mark.parametrize("layout", ["parallel", "causal", "linear"])
def test_plain_decoding_computes_head_1_only(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, used = Model(tiny(heads=layout, n_future=3, layers=5)), set[int]()
    branch = Model.branch

    def noted(self: Model, branch_: int, *rest: object, **more: object) -> torch.Tensor:
        used.add(branch_)
        return branch(self, branch_, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "branch", noted)
    list(generate(model, BYTES, requests([5]), Sampling(max_tokens=6)))
    assert used == {0}
    decoder = Decoder(model, 1, 2)
    assert (decoder.links, decoder.leaves) == ([], [1])


# ---- the law of samples ---------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_verified_draft_has_the_law_of_head_1(data: st.DataObject) -> None:
    """All combinations of evenly spaced numbers: the draft, its acceptance, the draw behind a rejection."""
    V, N = data.draw(st.integers(2, 4)), 40
    p, q = (
        torch.tensor(data.draw(st.lists(st.integers(0, 9), min_size=V, max_size=V).filter(any)), dtype=torch.float64)
        for _ in range(2)
    )
    p, q = p / p.sum(), q / q.sum()
    u = (torch.arange(N, dtype=torch.float64) + 0.5) / N
    drawn, accepting, again = (x.flatten() for x in torch.meshgrid(u, u, u, indexing="ij"))
    B = len(drawn)
    drafts_B1 = invert(q.expand(B, V), drawn)[:, None]
    p_B2V, q_B1V = p.expand(B, 2, V), q.expand(B, 1, V)
    accepted_B = accept_exact(p_B2V, q_B1V, drafts_B1, accepting[:, None])
    instead_B = invert(left_over(p.expand(B, V), q.expand(B, V)), again)
    tokens_B = torch.where(accepted_B == 1, drafts_B1[:, 0], instead_B)
    law = torch.bincount(tokens_B, minlength=V) / B
    assert (law - p).abs().max() < 3 * V / N
    # The most that any coupling of p and q can accept.
    assert abs(float(accepted_B.double().mean()) - float(torch.minimum(p, q).sum())) < 2 * V / N


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_verified_argmax_draft_has_the_law_of_head_1(data: st.DataObject) -> None:
    """The draft is the same token always: its law is a point, and it is accepted as often as head 1 says it."""
    V, N = data.draw(st.integers(2, 4)), 400
    p = torch.tensor(data.draw(st.lists(st.integers(0, 9), min_size=V, max_size=V).filter(any)), dtype=torch.float64)
    p /= p.sum()
    draft = data.draw(st.integers(0, V - 1))
    u = (torch.arange(N, dtype=torch.float64) + 0.5) / N
    accepting, again = (x.flatten() for x in torch.meshgrid(u, u, indexing="ij"))
    B, point_V = len(again), torch.nn.functional.one_hot(torch.tensor(draft), V).double()
    drafts_B1 = torch.full((B, 1), draft)
    accepted_B = accept_exact(p.expand(B, 2, V), point_V.expand(B, 1, V), drafts_B1, accepting[:, None])
    instead_B = invert(left_over(p.expand(B, V), point_V.expand(B, V)), again)
    law = torch.bincount(torch.where(accepted_B == 1, draft, instead_B), minlength=V) / B
    assert (law - p).abs().max() < 3 / N and abs(float(accepted_B.double().mean()) - float(p[draft])) < 2 / N


def exact_law(model: Model, prompt: np.ndarray, sampling: Sampling, tokens: int) -> dict[tuple[int, ...], float]:
    """Probability of every continuation, by plain passes without a cache."""
    laws: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(tokens):
        longer: dict[tuple[int, ...], float] = {}
        for said, probability in laws.items():
            if said and said[-1] == BYTES.separator:
                longer[said] = probability
                continue
            logits_1V = model(torch.tensor([*prompt.tolist(), *said])[None])[:, -1].detach()
            logits_1V[:, BYTES.pad] = -torch.inf
            p_V = nucleus(logits_1V, sampling.temperature, sampling.top_p)[0]
            p_V /= p_V.sum()
            for token in p_V.nonzero()[:, 0].tolist():
                longer[*said, token] = probability * float(p_V[token])
        laws = longer
    return laws


@pytest.mark.parametrize(
    ("model", "speculation", "temperature", "top_p"),
    [
        (Model(tiny(heads="parallel", n_future=3, layers=5)), Speculation(2), 0.7, 0.12),
        (Model(tiny(heads="causal", n_future=3, layers=5)), Speculation(3), 0.7, 0.12),
        (knowing(3, wrong=[3]), Speculation(3), 1.25, 0.68),
        (knowing(3, wrong=[3]), Speculation(3, drafts="argmax"), 1.25, 0.68),
    ],
    ids=["parallel", "causal", "often right", "often right, argmax"],
)
def test_samples_have_the_law_of_plain_decoding(
    model: Model, speculation: Speculation, temperature: float, top_p: float
) -> None:
    """4,000 samples of three tokens against the exact probabilities: chi-square."""
    prompt = requests([4])[0].prompt
    sampling = Sampling(temperature, top_p, max_tokens=3, seed=1)
    law = exact_law(model, prompt, sampling, 3)
    assert 4 < len(law) < 20000
    wanted = [Request(0, i, prompt) for i in range(4000)]
    tally = Tally()
    found = Counter(tuple(s.tokens) for s in generate(model, BYTES, wanted, sampling, 500, speculation, tally))
    assert set(found) <= set(law)
    if model.config.heads == "replicated":
        assert 0.3 < tally.accepted[0] / tally.offered[0] < 0.9
    rest = [key for key, probability in law.items() if 4000 * probability < 5]
    observed = [found[key] for key in law if key not in rest] + [sum(found[key] for key in rest)]
    expected = [4000 * law[key] for key in law if key not in rest] + [4000 * sum(law[key] for key in rest)]
    if not rest:
        observed, expected = observed[:-1], expected[:-1]
    assert chisquare(observed, np.array(expected) * sum(observed) / sum(expected)).pvalue > 1e-3


def test_samples_do_not_depend_on_the_batch() -> None:
    model = knowing(3)
    wanted = [Request(p, s, request.prompt) for p, request in enumerate(requests([3, 9, 5])) for s in range(5)]
    sampling = Sampling(temperature=1.5, top_p=0.95, max_tokens=12, seed=3)
    found = [by_key(list(generate(model, BYTES, wanted, sampling, size, Speculation(3)))) for size in (1, 4, 100)]
    assert found[0] == found[1] == found[2]
    assert len({tuple(s.tokens) for s in found[0].values()}) > 10


def test_typical_acceptance() -> None:
    sure, even = torch.tensor([0.97, 0.02, 0.01]), torch.tensor([0.4, 0.3, 0.3])
    p_BTV = torch.stack([torch.stack([sure, even, sure]), torch.stack([even, sure, even])])
    # min(0.09, 0.3 exp(-entropy)) is 0.09 for both.
    assert accept_typical(p_BTV, torch.tensor([[0, 1], [2, 1]])).tolist() == [2, 1]
    assert accept_typical(p_BTV, torch.tensor([[1, 1], [2, 0]])).tolist() == [0, 2]
    flat = torch.full((1, 2, 100), 0.01)  # 0.3 exp(-log 100) = 0.003
    assert accept_typical(flat, torch.tensor([[5]])).tolist() == [1]
    assert accept_greedy(p_BTV, torch.tensor([[0, 1], [0, 0]])).tolist() == [1, 2]
    tally = Tally()
    sampling = Sampling(temperature=0.5, max_tokens=13)
    samples = list(generate(knowing(4), BYTES, requests([3, 4]), sampling, 2, Speculation(4, "typical"), tally))
    assert len(samples) == 2 and tally.kept == 24


# ---- what does not pay is left alone --------------------------------------------------------------------------


class Clock:
    """Time that passes with the model's passes only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pass_seconds: Callable[[int], float]) -> None:
        self.seconds = 0.0
        self.passes: list[int] = []
        """Heads in use, pass by pass."""
        monkeypatch.setattr("mtp.generate.now", lambda device: self.seconds)
        for name in ("plain_pass", "drafted_pass"):
            self._slow(monkeypatch, name, getattr(Batch, name), pass_seconds)

    def _slow(
        self, monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[..., Any], pass_seconds: Callable[[int], float]
    ) -> None:
        def slow(batch: Batch, tokens_B: torch.Tensor) -> Any:
            self.passes.append(batch.decoder.heads)
            self.seconds += pass_seconds(batch.decoder.heads)
            return work(batch, tokens_B)

        monkeypatch.setattr(Batch, name, slow)


@pytest.mark.parametrize(
    ("round_cost", "choice", "tried"),
    [
        (5.0, 1, {1, 4}),  # three tokens at most, as head 4 is always wrong
        (3.3, 1, {1, 3, 4}),
        (1.5, 3, {1, 3, 4}),
        (1.2, 3, {1, 3, 4}),
    ],
)
def test_what_does_not_pay_is_given_up(
    round_cost: float, choice: int, tried: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text stays the same, in the trial and behind it; a choice lasts from one call to the next."""
    clock = Clock(monkeypatch, lambda heads: 1.0 if heads == 1 else round_cost + 0.01 * heads)
    model, wanted, tally, pace = knowing(4, wrong=[4], context=120), requests([3, 8, 1, 9] * 8), Tally(), Pace()
    sampling = Sampling(max_tokens=80)
    plain = by_key(list(generate(model, BYTES, wanted, sampling, 2)))
    clock.passes.clear()
    options = (sampling, 2, Speculation(4), tally, pace)
    assert by_key(list(generate(model, BYTES, wanted, *options))) == plain
    assert set(clock.passes) == tried
    trial = pace.at(4, 2)
    assert trial.heads == choice and trial.left
    clock.passes.clear()
    assert by_key(list(generate(model, BYTES, wanted, *options))) == plain
    assert set(clock.passes) == {choice}
    assert tally.kept == 2 * sum(len(sample.tokens) - 1 for sample in plain.values())
    # Other numbers of rows have choices of their own.
    assert next(iter(generate(model, BYTES, wanted, sampling, 16, Speculation(4), pace=pace)))
    assert not pace.at(4, 16).left


def noted(trial: Trial, cost: Callable[[int], float], accepted: Sequence[int] = (2, 3, 1, 3)) -> list[int]:
    """Stretches until the trial is over: heads of each. Every stretch has 40 passes over a row."""
    found = []
    while not trial.left:
        heads, prompts = trial.next()
        assert prompts == trial.rows
        tally = Tally()
        for _ in range(10):
            tally.round(heads, [min(count, heads - 1) for count in accepted])
        first = 5.0 * (heads not in found)  # touches memory
        found.append(heads)
        trial.note(heads, prompts, 40 * (cost(heads) + first), tally)
    return found


def test_a_trial_tries_what_could_be_faster() -> None:
    """Tokens per pass: 1, 2, 2.75, 3.25."""
    assert noted(trial := Trial(4, 2), lambda heads: 1 + (heads > 1) * 4) == [1, 4, 1, 4, 1, 4] and trial.heads == 1
    assert noted(trial := Trial(4, 2), lambda heads: 1 + 0.01 * heads) == [1, 4, 1, 4, 1, 4] and trial.heads == 4
    # With 2.9 for four heads, two (2 / 1.63) are worth a trial; then three (2.75 / 2.2) are not.
    cost = {1: 1.0, 2: 1.5, 4: 2.9}
    assert noted(trial := Trial(4, 2), cost.__getitem__) == [1, 4, 1, 4, 1, 4, 2, 2, 2] and trial.heads == 2
    # Cheap drafts that are never right.
    assert noted(trial := Trial(4, 2), lambda heads: 1.01, [0]).count(4) == 7 and trial.heads == 1


def test_a_choice_lasts_and_is_confirmed_more_and_more_rarely() -> None:
    trial = Trial(4, 2)
    noted(trial, lambda heads: 4.0 - 3 * (heads == 1))
    holds = []
    for _ in range(3):
        holds.append(trial.left)
        assert trial.next() == (1, trial.left)
        trial.note(1, 2, 1e9, Tally())
        assert trial.next() == (1, holds[-1] - 2)
        trial.note(1, holds[-1], 1e9, Tally())
        noted(trial, lambda heads: 3.13 - 2.13 * (heads == 1))  # 1.04 times as fast with 4 heads: no reason to change
    assert holds == [128, 256, 512] and trial.heads == 1
    trial.note(1, trial.left, 1e9, Tally())
    noted(trial, lambda heads: 2.8 - 1.8 * (heads == 1))
    assert (trial.heads, trial.left) == (4, 128)
    trial.note(4, trial.left, 1e9, Tally())
    noted(trial, lambda heads: 3.3 - 2.3 * (heads == 1))  # now 0.98 times as fast: no reason either
    assert (trial.heads, trial.left) == (4, 256)


def test_a_few_prompts_tell_nothing() -> None:
    trial, tally = Trial(4, 8), Tally()
    tally.round(1, [0])
    trial.note(1, 7, 1.0, tally)
    trial.note(1, 8, 1.0, Tally())  # no pass at all
    assert not trial.seconds


# ---- refused --------------------------------------------------------------------------------------------------


def test_heads_that_cannot_draft() -> None:
    with pytest.raises(UserError, match=r"heads: 3 is not in 1\.\.2"):
        list(generate(Model(tiny(n_future=2)), BYTES, requests([3]), Sampling(), speculation=Speculation(3)))
    deepseek = Model(tiny(heads="deepseek", n_future=2))
    with pytest.raises(UserError, match="heads: those of the deepseek layout read the tokens ahead"):
        list(generate(deepseek, BYTES, requests([3]), Sampling(), speculation=Speculation(2)))
    assert len(list(generate(deepseek, BYTES, requests([3]), Sampling(max_tokens=3)))) == 1

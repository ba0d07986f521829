"""Sampling: caches change nothing, neighbours change nothing, stops and nucleus as defined."""

import dataclasses
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtp import batch as batches
from mtp import decoder
from mtp import generate as module
from mtp.completions import Ending
from mtp.data.vocabulary import ByteVocabulary
from mtp.decoder import Decoder
from mtp.errors import UserError
from mtp.generate import Request, Sample, Sampling, Speculation, generate, prompt_room, shortened
from mtp.model import Model
from mtp.runs import arithmetic
from mtp.sampling import draw, uniforms
from tests.conftest import tiny

BYTES = ByteVocabulary()


class Begins(ByteVocabulary):
    """Texts begin with a token of their own, as those of SentencePiece do."""

    def begin(self, text: str) -> np.ndarray:
        return np.array([1, *text.encode()], np.int64)


def prompts(lengths: Sequence[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 250, length) for length in lengths]


def greedy(model: Model, prompt: np.ndarray, max_tokens: int) -> list[int]:
    """The reference: the whole sequence anew for every token."""
    context = model.config.context
    tokens = list(prompt[-prompt_room(context, max_tokens) :])
    found: list[int] = []
    while len(found) < max_tokens and len(tokens) <= context:
        logits = model(torch.tensor(tokens)[None])[0, -1].detach()
        logits[BYTES.pad] = -torch.inf
        found.append(int(logits.argmax()))
        if found[-1] == BYTES.separator:
            break
        tokens.append(found[-1])
    return found


def sampled(model: Model, request: Request, sampling: Sampling) -> tuple[list[int], str, str]:
    """The reference for samples: tokens, text and why it ended; the whole sequence anew for every token."""
    context = model.config.context
    kept = list(request.prompt[-prompt_room(context, sampling.max_tokens) :])
    tokens: list[int] = []
    for number in uniforms(sampling, request.problem, request.sample)[0]:
        logits_1V = model(torch.tensor(kept + tokens)[None])[:, -1].detach()
        logits_1V[:, BYTES.pad] = -torch.inf
        tokens += draw(logits_1V, torch.tensor([number]), sampling.temperature, sampling.top_p).tolist()
        text = BYTES.decode(tokens)
        found = [at for stop in sampling.stops if (at := text.find(stop.encode())) >= 0]
        if found:
            return tokens, text[: min(found)].decode(errors="replace"), "stop"
        if tokens[-1] == BYTES.separator:
            return tokens, text.decode(errors="replace"), "end of document"
        if len(kept) + len(tokens) > context:
            break
    return tokens, BYTES.decode(tokens).decode(errors="replace"), "length"


def by_key(samples: Sequence[Sample]) -> dict[tuple[int, int], Sample]:
    assert len({(s.problem, s.sample) for s in samples}) == len(samples)
    return {(s.problem, s.sample): s for s in samples}


@pytest.mark.parametrize("layout", ["parallel", "replicated"])
@pytest.mark.parametrize("max_tokens", [1, 4, 9, 40])
@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_cached_equals_uncached(layout: str, max_tokens: int, batch_size: int) -> None:
    """For every prompt length up to and beyond the context, in batches of rows of different lengths."""
    model = Model(tiny(heads=layout, n_future=2)).double()
    given_prompts = prompts(range(1, 20))
    requests = [Request(i, 0, prompt) for i, prompt in enumerate(given_prompts)]
    found = by_key(list(generate(model, BYTES, requests, Sampling(max_tokens=max_tokens), batch_size)))
    assert len(found) == len(requests)
    for i, prompt in enumerate(given_prompts):
        assert found[i, 0].tokens == greedy(model, prompt, max_tokens), f"prompt of {len(prompt)} tokens"


@pytest.mark.parametrize("layout", ["parallel", "linear"])
def test_samples_equal_the_reference(layout: str) -> None:
    """Nucleus sampling with stops, in a batch that refills and shrinks: what is drawn without caches."""
    model = Model(tiny(heads=layout, n_future=2, context=24)).double()
    requests = [Request(p, s, prompt) for p, prompt in enumerate(prompts([3, 9, 30, 1, 14])) for s in range(4)]
    sampling = Sampling(temperature=1.2, top_p=0.97, max_tokens=16, stops=("a", "\n", "e", "zz"), seed=5)
    found = by_key(list(generate(model, BYTES, requests, sampling, 7)))
    for request in requests:
        sample = found[request.problem, request.sample]
        assert (sample.tokens, sample.text, sample.finish) == sampled(model, request, sampling)
    assert {sample.finish for sample in found.values()} >= {"stop", "length"}


def test_no_position_beyond_the_context() -> None:
    assert prompt_room(128, 96) == 64 and prompt_room(1024, 256) == 768 and prompt_room(12, 100) == 6
    model = Model(tiny()).double()
    (sample,) = generate(model, BYTES, [Request(0, 0, prompts([50])[0])], Sampling(max_tokens=40))
    assert len(sample.tokens) <= 12 - 6 + 1 and sample.finish == "length"


def test_a_prompt_that_is_cut_keeps_its_begin() -> None:
    """It takes the place of one token; prompts of other vocabularies, and those that fit, are as they were."""
    model, begin = Model(tiny()).double(), Begins().begin("")
    prompt = Begins().begin("a text that is too long for the context")
    for room, wanted in ((6, b"\x01ntext"), (2, b"\x01t"), (1, b"t"), (99, bytes(prompt.tolist()))):
        assert bytes(shortened(prompt, room, begin).tolist()) == wanted
    for text in (prompt, prompt[1:]):
        assert np.array_equal(shortened(text, 6, BYTES.begin("")), text[-6:])
    assert np.array_equal(shortened(prompt[1:], 6, begin), prompt[-6:]), "the middle of a text has no begin"
    sampling = Sampling(max_tokens=6)
    for vocabulary, kept in ((Begins(), [1, *prompt[-5:].tolist()]), (BYTES, prompt[-6:].tolist())):
        (cut,) = generate(model, vocabulary, [Request(0, 0, prompt)], sampling)
        (short,) = generate(model, BYTES, [Request(0, 0, np.array(kept))], sampling)
        assert cut.tokens == short.tokens


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_samples_do_not_depend_on_the_batch(batch_size: int) -> None:
    model = Model(tiny(n_future=2)).double()
    requests = [Request(p, s, prompt) for p, prompt in enumerate(prompts([3, 9, 5])) for s in range(5)]
    sampling = Sampling(temperature=0.9, top_p=0.95, max_tokens=8, seed=3)
    found, alone = (by_key(list(generate(model, BYTES, requests, sampling, size))) for size in (batch_size, 100))
    assert found == alone
    assert len({tuple(s.tokens) for s in found.values()}) > 10  # samples of one prompt differ
    other = by_key(list(generate(model, BYTES, requests, dataclasses.replace(sampling, seed=4))))
    assert other != found
    last = requests[-1:]  # and neither on which samples are wanted: a job resumes in the middle
    assert list(generate(model, BYTES, last, sampling)) == [found[2, 4]]


def test_a_prompt_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[int]] = []
    prefill = Decoder.prefill

    def noted(self: Decoder, prompts: Sequence[np.ndarray]) -> object:
        calls.append([len(prompt) for prompt in prompts])
        return prefill(self, prompts)

    monkeypatch.setattr(Decoder, "prefill", noted)
    requests = [Request(p, s, prompt) for p, prompt in enumerate(prompts([3, 4])) for s in range(6)]
    assert len(list(generate(Model(tiny()), BYTES, requests, Sampling(max_tokens=5), batch_size=4))) == 12
    assert calls == [[3, 4]]
    monkeypatch.setattr(module, "TOGETHER", 9)  # of at most 6 tokens here: 2 x 4 fit, 3 x 4 and 2 x 5 do not
    calls.clear()
    requests = [Request(i, 0, prompt) for i, prompt in enumerate(prompts([4, 2, 3, 5, 1, 40]))]
    assert len(list(generate(Model(tiny()), BYTES, requests, Sampling(max_tokens=5), batch_size=4))) == 6
    assert calls == [[4, 2], [3], [5], [1], [7]]


def test_nothing_wanted() -> None:
    assert list(generate(Model(tiny()), BYTES, [], Sampling())) == []


def test_bfloat16_caches() -> None:
    model = Model(tiny(precision="bfloat16", n_future=2))
    with arithmetic(model):
        assert Decoder(model, 1).caches[0].both_2JBHSK.dtype == torch.bfloat16
        for heads in (1, 2):
            wanted = [Request(0, 0, prompts([5])[0])]
            found = list(generate(model, BYTES, wanted, Sampling(max_tokens=3), speculation=Speculation(heads)))
            assert len(found) == 1


# ---- stops ----------------------------------------------------------------------------------------------------


def scripted(monkeypatch: pytest.MonkeyPatch, text: bytes, **options: object) -> Sample:
    """What comes out when the model says these bytes."""
    said = iter(text)
    monkeypatch.setattr(batches, "draw", lambda logits, *rest: torch.tensor([next(said)] * len(logits)))
    sampling = Sampling(1.0, max_tokens=40, stops=("\ndef", "\n#", "\nif"), **options)  # type: ignore[arg-type]
    (sample,) = generate(Model(tiny(context=80)), BYTES, [Request(0, 0, prompts([4])[0])], sampling)
    return sample


def test_stop_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scripted(monkeypatch, b"    return 1\ndefault")
    assert (sample.text, sample.finish, len(sample.tokens)) == ("    return 1", "stop", 16)


def test_end_of_document(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scripted(monkeypatch, b"ab\n\xffcd")
    assert (sample.text, sample.finish, sample.tokens) == ("ab\n", "end of document", [97, 98, 10, 255])


def test_length_and_bytes_that_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = scripted(monkeypatch, b"x" * 39 + b"\xc3")
    assert (sample.text, sample.finish) == ("x" * 39 + "\ufffd", "length")


class Pieces:
    """A vocabulary of given pieces."""

    separator, pad = 0, 1

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = (b"", b"", *pieces)
        self.size = len(self.pieces)

    def decode(self, ids: Sequence[int]) -> bytes:
        return b"".join(self.pieces[i] for i in ids)


@given(
    pieces=st.lists(st.text("ab\n", min_size=1, max_size=4).map(str.encode), min_size=2, max_size=6),
    stops=st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3),
    data=st.data(),
)
def test_a_stop_is_noticed_with_the_token_that_completes_it(
    pieces: list[bytes], stops: list[str], data: st.DataObject
) -> None:
    vocabulary = Pieces(pieces)
    ending = Ending(vocabulary, Sampling(stops=tuple(stops)))  # type: ignore[arg-type]
    tokens = data.draw(st.lists(st.integers(2, vocabulary.size - 1), min_size=1, max_size=12))
    for t in range(1, len(tokens) + 1):
        text = vocabulary.decode(tokens[:t]).decode()
        stopped = bool(ending.may_stop_V[tokens[t - 1]]) and ending.stopped(tokens[:t])
        assert stopped == any(stop in text for stop in stops)
        if stopped:
            kept = ending.text(tokens[:t])
            assert text.startswith(kept) and any(text[len(kept) :].startswith(stop) for stop in stops)
            assert not any(stop in text[: len(kept) + len(stop) - 1] for stop in stops)
            return


# ---- the law of a draw ----------------------------------------------------------------------------------------


@given(
    logits=st.lists(st.integers(-20, 20).map(lambda i: i / 5), min_size=2, max_size=7),
    temperature=st.sampled_from([0.2, 0.8, 1.0, 2.0]),
    top_p=st.sampled_from([0.1, 0.5, 0.95, 1.0]),
)
def test_law_of_a_draw(logits: list[float], temperature: float, top_p: float) -> None:
    """Evenly spaced numbers fall on the tokens in proportion to the nucleus."""
    N = 2000
    p = np.exp(np.array(logits) / temperature)
    p /= p.sum()
    least = p[np.argsort(-p)][np.searchsorted(np.cumsum(np.sort(p)[::-1]), top_p - 1e-6)] if top_p < 1 else 0.0
    law = np.where(p >= least * (1 - 1e-6), p, 0)
    law /= law.sum()
    uniform = torch.arange(N, dtype=torch.float64).add(0.5) / N
    tokens = draw(torch.tensor([logits]).expand(N, -1), uniform, temperature, top_p)
    share = np.bincount(tokens.numpy(), minlength=len(logits)) / N
    assert np.abs(share - law).max() <= 2 / N
    assert (share[law == 0] == 0).all()


def test_greedy_and_the_ends_of_the_distribution() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, -torch.inf]])
    assert draw(logits, torch.zeros(1, dtype=torch.float64), 0.0, 1.0).tolist() == [1]
    almost_one = torch.tensor([1 - 2**-53], dtype=torch.float64)
    assert draw(logits, almost_one, 1.0, 1.0).tolist() == [2]
    assert draw(logits, torch.zeros(1, dtype=torch.float64), 1.0, 1e-6).tolist() == [1]


# ---- compiled steps -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler, so torch.compile has nothing to work with")
def test_compiled_steps_say_what_eager_ones_say() -> None:
    """In rows that end at different times, in every call anew."""
    wanted = [Request(i, 0, prompt) for i, prompt in enumerate(prompts([3, 9, 1]))]
    model, sampling = Model(tiny(context=24, layers=2)), Sampling(max_tokens=12)
    eager = by_key(list(generate(model, BYTES, wanted, sampling, 2)))
    for _ in range(2):
        assert by_key(list(generate(model, BYTES, wanted, sampling, 2, compile=True))) == eager
    assert len(decoder.STEPS[model]) == 1, "compiled once"


def test_what_steps_are_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph per length, of which there are few, and per shape of the caches; the models' are apart."""
    made: list[object] = []

    def compile(step: object, **options: object) -> object:
        made.append(step)
        return step

    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(decoder, "LEAST", 8)
    wanted, sampling = [Request(i, 0, prompt) for i, prompt in enumerate(prompts([3, 9, 1]))], Sampling(max_tokens=30)
    for model in (Model(tiny(context=40)), Model(tiny(context=40))):
        eager = by_key(list(generate(model, BYTES, wanted, sampling, 2)))
        made.clear()
        for size in (2, 2, 1):
            assert by_key(list(generate(model, BYTES, wanted, sampling, size, compile=True))) == eager
        assert sorted(reach for reach, *_ in decoder.STEPS[model]) == [8, 8, 16, 16, 32, 32, 40, 40]
        assert len(made) == 8 == len({id(step.__code__) for step in made})  # type: ignore[attr-defined]


def test_without_a_compiler_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(step: object, **options: object) -> object:
        def call(*arguments: object) -> None:
            raise torch._dynamo.exc.TorchDynamoException("no compiler\n\nSet TORCHDYNAMO_VERBOSE=1")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UserError, match=r"compile: no compiler; torch.compile needs a C\+\+ compiler") as caught:
        list(generate(Model(tiny()), BYTES, [Request(0, 0, prompts([3])[0])], Sampling(max_tokens=3), compile=True))
    assert "\n" not in str(caught.value)

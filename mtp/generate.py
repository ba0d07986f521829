"""Generation from a trained model with cached keys and values: plain from head 1, or with drafts of its further heads.

    from mtp.generate import Request, Sampling, Speculation, generate
    requests = [Request(0, 0, vocabulary.encode("def f("))]
    for sample in generate(model, vocabulary, requests, Sampling()):
        print(sample.text)
    for sample in generate(model, vocabulary, requests, Sampling(), speculation=Speculation(heads=4)):
        print(sample.text)  # the same text, sooner

Rows of one batch are independent: each stands at its own position, and a row that finishes makes room for the
next request at once (continuous batching). A prompt is computed once for all its samples, short ones together.

Positions never exceed the training context, since a model with rotary embeddings is undefined beyond it. A
prompt keeps its last max(context - max_tokens, context // 2) tokens (`prompt_room`), and a completion ends with
`length` at max_tokens or at the context, whichever comes first.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator

import torch

from mtp.batch import Batch, now
from mtp.completions import Request, Sample
from mtp.data.vocabulary import Vocabulary
from mtp.decoder import Decoder, Prompt
from mtp.model import Model
from mtp.sampling import Sampling
from mtp.speculation import PLAIN, Pace, Speculation, Tally

__all__ = ["PLAIN", "Request", "Sample", "Sampling", "Speculation", "Tally", "generate", "prompt_room"]

TOGETHER = 512
"""Tokens of prompts, padding counted, that are computed at once: 64 alone take 2.5 times as long as among 512."""


def prompt_room(context: int, max_tokens: int) -> int:
    """Tokens of a prompt that are kept."""
    return max(1, context - max_tokens, context // 2)


def prefilled(decoder: Decoder, requests: Iterable[Request], room: int) -> Iterator[tuple[Request, Prompt]]:
    """Requests with their prompts, each computed once for the samples that follow each other, some of them ahead."""
    groups: list[list[Request]] = []
    longest = 0

    def computed() -> Iterator[tuple[Request, Prompt]]:
        prompts = decoder.prefill([group[0].prompt[-room:] for group in groups])
        for group, prompt in zip(groups, prompts, strict=True):
            yield from ((request, prompt) for request in group)

    for _, same in itertools.groupby(requests, key=lambda request: request.problem):
        group = list(same)
        length = min(room, len(group[0].prompt))
        if groups and (len(groups) + 1) * max(longest, length) > TOGETHER:
            yield from computed()
            groups, longest = [], 0
        groups.append(group)
        longest = max(longest, length)
    if groups:
        yield from computed()


@torch.inference_mode()
def generate(
    model: Model,
    vocabulary: Vocabulary,
    requests: Iterable[Request],
    sampling: Sampling,
    batch_size: int = 64,
    speculation: Speculation = PLAIN,
    tally: Tally | None = None,
) -> Iterator[Sample]:
    """Completions in the order in which they finish; at most `batch_size` are in the making at a time.

    `tally` takes the counts of rounds and of accepted drafts.

    Raises:
        UserError: the model's heads cannot draft as `speculation` asks.
    """
    waiting = iter(requests)
    first = list(itertools.islice(waiting, batch_size))
    if not first:
        return
    decoder = Decoder(model, len(first), speculation.heads)
    tally = Tally() if tally is None else tally
    batch = Batch(decoder, vocabulary, sampling, speculation, tally, len(first))
    pace = Pace(speculation.heads if speculation.adaptive else 1)
    ready = prefilled(decoder, itertools.chain(first, waiting), prompt_room(decoder.context, sampling.max_tokens))
    fresh, exhausted = list(range(len(first))), False

    while True:
        # 1. Empty places take waiting requests.
        for i in fresh if not exhausted else ():
            request, prompt = next(ready, (None, None))
            if request is None or prompt is None:
                exhausted = True
                break
            batch.start(i, request, prompt)
        live, fresh = batch.live, []
        if not live:
            return
        if len(live) <= 0.8 * len(batch.rows):
            # Nothing waits any more, or every place would be taken: compute only what is left.
            batch.keep(live)
            live = batch.live
        # 2. One token for every row.
        tokens_B = batch.next_tokens()
        for i, token in zip(live, tokens_B[live].tolist(), strict=True):
            tally.kept += int(batch.counts_B[i] > 0)
            if batch.add(i, token):
                yield batch.take(i)
                fresh.append(i)
        if not (live := batch.live):
            continue
        # 3. The model's next pass, and the drafts that it accepts.
        if decoder.heads == 1:
            batch.plain_pass(tokens_B)
            continue
        start = now(decoder.device)
        accepted = batch.drafted_pass(tokens_B)
        if pace.note(now(decoder.device) - start, tally):
            batch.use(pace.decide(tally, functools.partial(batch.seconds_of_plain_step, tokens_B)))
        for i, drafts in accepted:
            for token in drafts:
                tally.kept += 1
                if batch.add(i, token):
                    yield batch.take(i)
                    fresh.append(i)
                    break

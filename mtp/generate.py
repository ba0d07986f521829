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
prompt keeps its last max(context - max_tokens, context // 2) tokens (`prompt_room`), of which the begin of the text
takes a place where the vocabulary has such a token (`shortened`). A completion ends with `length` at max_tokens or at
the context, whichever comes first.
"""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from mtp.batch import Batch
from mtp.completions import Request, Sample
from mtp.data.vocabulary import Vocabulary
from mtp.decoder import Decoder, Prompt, check_heads
from mtp.model import Model
from mtp.pace import Pace
from mtp.sampling import Sampling
from mtp.speculation import PLAIN, Speculation, Tally

__all__ = [
    "PLAIN", "Pace", "Request", "Sample", "Sampling", "Speculation", "Tally", "generate", "prompt_room", "shortened"
]  # fmt: skip

TOGETHER = 512
"""Tokens of prompts, padding counted, that are computed at once: 64 alone take 2.5 times as long as among 512."""


def prompt_room(context: int, max_tokens: int) -> int:
    """Tokens of a prompt that are kept."""
    return max(1, context - max_tokens, context // 2)


def shortened(prompt_S: np.ndarray, room: int, begin_S: np.ndarray) -> np.ndarray:
    """The last `room` tokens of a prompt, the first of them replaced by the prompt's begin if it has one.

    Args:
        begin_S: what the vocabulary puts before a text (`vocabulary.begin("")`); empty for most.
    """
    kept = len(begin_S)
    if len(prompt_S) <= room or kept >= room or not np.array_equal(prompt_S[:kept], begin_S):
        return prompt_S[-room:]
    return np.concatenate([begin_S, prompt_S[kept - room :]])


def prefilled(
    decoder: Decoder, requests: Iterable[Request], room: int, begin_S: np.ndarray
) -> Iterator[tuple[Request, Prompt]]:
    """Requests with their prompts, each computed once for the samples that follow each other, some of them ahead.

    Args: as `shortened`.
    """
    groups: list[list[Request]] = []
    longest = 0

    def computed() -> Iterator[tuple[Request, Prompt]]:
        prompts = decoder.prefill([shortened(group[0].prompt, room, begin_S) for group in groups])
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


def now(device: torch.device) -> float:
    """Seconds, after all that the device was given; those that a single thread has worked, whatever else runs here."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.process_time() if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()


def generate(
    model: Model,
    vocabulary: Vocabulary,
    requests: Iterable[Request],
    sampling: Sampling,
    batch_size: int = 64,
    speculation: Speculation = PLAIN,
    tally: Tally | None = None,
    pace: Pace | None = None,
    compile: bool = False,
) -> Iterator[Sample]:
    """Completions in the order in which they finish; at most `batch_size` are in the making at a time.

    Args:
        tally: takes the counts of rounds and of accepted drafts.
        pace: chooses how many of the heads are used, by what pays. Greedy text stays the same; samples keep their law,
            but then depend on the machine.
        compile: plain steps through `torch.compile`, which takes a minute or two once per model and number of rows.

    Raises:
        UserError: the model's heads cannot draft as `speculation` asks.
    """
    check_heads(model.config, speculation.heads)
    tally = Tally() if tally is None else tally
    waiting = iter(requests)
    first = list(itertools.islice(waiting, batch_size))
    waiting = itertools.chain(first, waiting)
    if pace is None or speculation.heads == 1:
        yield from decoded(model, vocabulary, waiting, len(first), sampling, speculation, tally, compile)
        return
    trial, device = pace.at(speculation.heads, len(first)), next(model.parameters()).device
    while True:
        heads, prompts = trial.next()
        stretch = list(itertools.islice(waiting, prompts))
        if not stretch:
            return
        own, seconds = Tally(), 0.0
        using = dataclasses.replace(speculation, heads=heads)
        rows = min(len(first), len(stretch))
        samples = decoded(model, vocabulary, iter(stretch), rows, sampling, using, own, compile)
        while True:
            start = now(device)
            sample = next(samples, None)
            seconds += now(device) - start
            if sample is None:
                break
            yield sample
        tally.add(own)
        trial.note(heads, len(stretch), seconds, own)


@torch.inference_mode()
def decoded(
    model: Model,
    vocabulary: Vocabulary,
    waiting: Iterator[Request],
    rows: int,
    sampling: Sampling,
    speculation: Speculation,
    tally: Tally,
    compile: bool,
) -> Iterator[Sample]:
    """Completions of what waits, of which there is at least one for every row."""
    if not rows:
        return
    decoder = Decoder(model, rows, speculation.heads, compile)
    batch = Batch(decoder, vocabulary, sampling, speculation, tally, rows)
    room = prompt_room(decoder.context, sampling.max_tokens)
    ready = prefilled(decoder, waiting, room, vocabulary.begin(""))
    fresh, exhausted = list(range(rows)), False

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
        if len(live) <= 0.8 * len(batch.rows) and not compile:
            # Nothing waits any more, or every place would be taken: compute only what is left. Compiled steps are for
            # one number of rows.
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
        for i, drafts in batch.drafted_pass(tokens_B):
            for token in drafts:
                tally.kept += 1
                if batch.add(i, token):
                    yield batch.take(i)
                    fresh.append(i)
                    break

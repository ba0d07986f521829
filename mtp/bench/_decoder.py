"""One competitor that decodes, in a process of its own: passes of ours, or a loop in the way of gpt-fast.

The protocol is that of `mtp.bench._worker`; what decodes whole requests with `generate` is in `mtp.bench._sampler`.
"""

from typing import Any

import torch

from mtp import cpu
from mtp.batch import Batch
from mtp.bench._gpt_fast import StaticDecoder
from mtp.bench._sampler import Endless, same_model
from mtp.bench._worker import Work, serve
from mtp.bench.loads import Load, prompts
from mtp.bench.shapes import SHAPES, ours
from mtp.decoder import Decoder
from mtp.generate import Request, Sampling, Speculation, Tally
from mtp.model import Model


def passes(told: dict[str, Any]) -> Work:
    """As many passes of ours as `load` has tokens, for all its requests at once, with `heads` of the model's `n` heads.

    Nobody trained the model, so hardly a draft is right, but what a pass costs does not depend on that: every row
    advances by one token per pass, whatever is accepted, so that a plain step and a round attend to equally much.
    """
    load, heads = Load(**told["load"]), told["heads"]
    config = ours(SHAPES[told["size"]], context=load.context, n_future=told["n"])
    model = Model(config).eval().requires_grad_(False)
    requests = [Request(i, 0, prompt) for i, prompt in enumerate(prompts(load))]
    with torch.inference_mode():
        decoder = Decoder(model, load.rows, heads)
        sampling = Sampling(load.temperature, load.top_p, load.tokens)
        batch = Batch(decoder, Endless(), sampling, Speculation(heads), Tally(), load.rows)
        computed = decoder.prefill([request.prompt for request in requests])

    @torch.inference_mode()
    def work() -> None:
        for i, (request, prompt) in enumerate(zip(requests, computed, strict=True)):
            batch.start(i, request, prompt)
        with cpu.small_products():
            for _ in range(load.tokens):
                tokens_B = batch.next_tokens()
                for i, token in enumerate(tokens_B.tolist()):
                    batch.add(i, token)
                if heads == 1:
                    batch.plain_pass(tokens_B)
                else:
                    batch.drafted_pass(tokens_B)

    return work


def gpt_fast(told: dict[str, Any]) -> Work:
    """`load`, one row at a time, from `compile`d steps or eager ones."""
    model, load = same_model(told)
    decoder = StaticDecoder(model)
    step = torch.compile(decoder.next_token, fullgraph=True) if told["compile"] else decoder.next_token

    @torch.inference_mode()
    def work() -> None:
        for prompt in prompts(load):
            at_T = torch.arange(len(prompt))
            token_11 = decoder.next_token(torch.from_numpy(prompt)[None], at_T)
            found = [token_11]
            at_T = at_T[-1:]
            while len(found) < load.tokens:
                at_T = at_T + 1
                token_11 = step(token_11, at_T).clone()
                found.append(token_11)
            torch.cat(found)

    return work


if __name__ == "__main__":
    serve({"passes": passes, "gpt-fast": gpt_fast})

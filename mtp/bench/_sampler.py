"""One competitor that samples, in a process of its own: ours, or Hugging Face `generate` with the same weights.

The protocol is that of `mtp.bench._worker`. Both serve the same requests, those of `load` (the fields of a `Load`):
prompts of one length and completions whose lengths are given, so that both draw the same number of tokens.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtp import cpu
from mtp.bench._worker import Work, serve
from mtp.bench.loads import Load, lengths, prompts
from mtp.bench.shapes import SHAPES, ours
from mtp.data.vocabulary import ByteVocabulary
from mtp.export import llama_config, llama_tensors
from mtp.generate import Request, Sampling, generate
from mtp.model import Model

STOPS = ("\nclass", "\ndef", "\nif", "\nprint")
"""Looked for as in HumanEval; models that nobody has trained do not write them."""


class Endless(ByteVocabulary):
    """Bytes without an end of document: the entry that would end it is the pad, which is never drawn."""

    separator = ByteVocabulary.pad


def same_model(told: dict[str, Any]) -> tuple[Model, Load]:
    """Our model of the size that is asked for, not trained, and what is asked of it."""
    load = Load(**told["load"])
    config = ours(SHAPES[told["size"]], context=load.context)
    return Model(config).eval().requires_grad_(False), load


def own(told: dict[str, Any]) -> Work:
    """Ours: a request per completion, refilling; with `compile` through compiled steps."""
    model, load = same_model(told)
    limits = lengths(load)
    requests = [
        Request(i, 0, prompt, limit) for i, (prompt, limit) in enumerate(zip(prompts(load), limits, strict=True))
    ]
    sampling = Sampling(load.temperature, load.top_p, max(limits), STOPS)

    def work() -> None:
        with cpu.small_products():
            found = generate(model, Endless(), requests, sampling, load.rows, compile=bool(told.get("compile")))
            drawn = sum(len(sample.tokens) for sample in found)
        assert drawn == sum(limits), f"{drawn} tokens instead of {sum(limits)}"

    return work


def to_llama(model: Model) -> Any:
    """The same model as transformers' Llama: trunk and the path to head 1, without further heads.

    Raises:
        AssertionError: its logits differ by more than 1e-4.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = model.config
    # Nothing ends a text before its length is reached.
    endless = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    llama = LlamaForCausalLM(LlamaConfig(**llama_config(model, "float32"), **endless)).eval()
    llama.load_state_dict(dict(llama_tensors(model, model.state_dict().__getitem__)))
    tokens_BT = torch.randint(config.vocab_size, (2, config.context), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        apart = float((llama(tokens_BT).logits - model(tokens_BT)).abs().max())
    assert apart < 1e-4, f"the exported model's logits differ by {apart:.1e}"
    return llama


def hugging_face(told: dict[str, Any]) -> Work:
    """`generate` batch by batch; a batch is over when its longest completion is.

    `cache`: "static" instead of its default, with `compile` a compiled step on it.
    """
    from transformers import CompileConfig, StoppingCriteria, StoppingCriteriaList

    model, load = same_model(told)
    llama = to_llama(model)
    limits, prompt_NT = torch.tensor(lengths(load)), torch.from_numpy(np.stack(prompts(load)))
    options: dict[str, Any] = {"do_sample": False}
    if load.temperature:
        options = {"do_sample": True, "temperature": load.temperature, "top_p": load.top_p, "top_k": 0}
    if told.get("cache") == "static":
        options |= {"cache_implementation": "static", "disable_compile": not told.get("compile")}
    if told.get("compile"):
        options["compile_config"] = CompileConfig(fullgraph=False)
        options["compile_config"]._compile_all_devices = True  # it compiles on GPUs only

    class Limits(StoppingCriteria):  # type: ignore[misc]
        """Rows end at lengths of their own; cheaper than its search for stop strings, which ours does too."""

        def __init__(self, limit_B: Tensor) -> None:
            self.limit_B = limit_B + prompt_NT.shape[1]

        def __call__(self, input_ids: Tensor, scores: Tensor, **rest: Any) -> Tensor:
            return input_ids.shape[1] >= self.limit_B

    def work() -> None:
        for limit_B, prompt_BT in zip(limits.split(load.rows), prompt_NT.split(load.rows), strict=True):
            ragged = len(set(limit_B.tolist())) > 1
            found = llama.generate(
                prompt_BT,
                attention_mask=torch.ones_like(prompt_BT),
                max_new_tokens=int(limit_B.max()),
                pad_token_id=ByteVocabulary.pad,
                stopping_criteria=StoppingCriteriaList([Limits(limit_B)]) if ragged else None,
                **options,
            )
            assert found.shape[1] == prompt_BT.shape[1] + int(limit_B.max())

    return work


if __name__ == "__main__":
    serve({"ours": own, "hugging face": hugging_face})

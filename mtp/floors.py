"""What a training step costs by arithmetic alone: the floors that measurements are drawn against. No torch here."""

import dataclasses
from collections.abc import Callable, Mapping

from mtp.config import RunConfig

FLOAT = 4
"""Bytes of a float32."""
CHUNK_BYTES = 8 * 2**20
"""Logits that a floor allows at a time: a chunk much smaller than this costs time (docs/benchmarks.md)."""


def next_token(config: RunConfig) -> RunConfig:
    """The same model with one head: what times and memory of n heads are relative to."""
    return dataclasses.replace(config, n_future=1, head_weights="uniform").canonical()


def flop_ratio(config: RunConfig) -> float:
    """Training FLOPs with n heads over those with one, all else equal.

    With the layers of the heads taken from the trunk this is [layers + n unembeddings] / [layers + 1 unembedding]:
    what a step with n heads costs at least, at equal efficiency.
    """
    return config.flops / next_token(config).flops


def activation_bytes(config: RunConfig, tokens: int) -> int:
    """What one layer must keep for its backward pass if only products of matrices are never done twice.

    Per position: the residual stream before both norms (2 dim), queries, keys and values (3 dim), the attention's
    output (dim), gate and up of SwiGLU (2 ffn). Norms, rotations and SwiGLU's product are cheap to do again; so are
    attention's weights, which a fused kernel never stores.
    """
    width = 2 if config.precision == "bfloat16" else FLOAT
    stream = 2 * config.dim * FLOAT
    return tokens * (stream + (4 * config.dim + 2 * config.ffn_dim) * width)


def step_bytes(config: RunConfig) -> int:
    """Least memory of a step above weights and optimiser state, in the sequential order (Figure 2).

    The larger of two moments, where gradients exist from when they are first added to until the optimiser is done:
    - at the loss of the last head: the trunk's activations, those of this head, the gradient of the trunk state, one
      chunk of logits, and the gradients of the unembedding and of the heads before it;
    - at the end of the trunk's backward pass: the gradients of all weights.
    In between, every layer of the trunk trades its activations for its gradients.
    """
    tokens = (config.micro_batch or config.batch_size) * config.context
    unembeddings = config.unembeddings * config.vocab_size * config.dim
    block = 4 * config.dim**2 + 3 * config.dim * config.ffn_dim + 2 * config.dim
    head_layers = config.all_layers - config.trunk_layers
    at_loss = (
        FLOAT * (unembeddings + max(0, head_layers - 1) * block)
        + (config.trunk_layers + min(1, head_layers)) * activation_bytes(config, tokens)
        + FLOAT * tokens * config.dim
        + min(CHUNK_BYTES, FLOAT * tokens * config.vocab_size)
    )
    return max(at_loss, FLOAT * config.parameters)


def round_bytes(config: RunConfig, heads: int) -> int:
    """Weights that a decoding pass over few tokens must read when `heads` heads are in use, each once.

    What a pass takes at least where reading weights is what takes time: at batch size 1. Keys and values are left out.
    """
    block = 4 * config.dim**2 + 3 * config.dim * config.ffn_dim
    layout, further = config.layout, heads - 1
    layers = config.trunk_layers + layout.layers_per_head * (1 + further)
    if not layout.detachable:  # head 1 stands on all the others
        layers = config.all_layers
    matrices = layout.matrices_per_head * (1 + further) * config.dim**2
    unembeddings = (1 + further if layout.own_unembedding else 1) * config.vocab_size * config.dim
    return FLOAT * (layers * block + matrices + unembeddings)


def round_ratio(config: RunConfig, heads: int) -> float:
    """What a pass that verifies and drafts with `heads` heads costs at least, relative to a plain step."""
    return round_bytes(config, heads) / round_bytes(config, 1)


def batch_tokens(config: RunConfig) -> int:
    """Positions of a step."""
    return config.batch_size * config.context


ARITHMETIC: Mapping[str, Callable[[RunConfig], float]] = {
    "flop_ratio": flop_ratio,
    "parameters_millions": lambda config: config.parameters / 1e6,
    "training_megaflops_per_token": lambda config: config.flops / config.tokens / 1e6,
    # Table S13
    "batch_size_tokens": batch_tokens,
    "batch_size_2_20_tokens": lambda config: batch_tokens(config) / 2**20,
    "steps": lambda config: config.steps,
    "tokens_billion": lambda config: config.tokens / 1e9,
    "warmup_steps": lambda config: config.warmup_steps,
    "peak_lr": lambda config: config.peak_lr,
    "context_length": lambda config: config.context,
    "decay_ratio": lambda config: config.decay_ratio,
    "clip": lambda config: config.clip,
    "weight_decay": lambda config: config.weight_decay,
    # Table S14
    "dimension": lambda config: config.dim,
    "layers": lambda config: config.all_layers,
    "trunk_layers": lambda config: config.trunk_layers,
    "attention_heads": lambda config: config.attention_heads,
    "non_embedding_millions": lambda config: config.non_embedding_parameters / 1e6,
}
"""What `computed_at` of a metric can name, and the measure `arithmetic` reports."""

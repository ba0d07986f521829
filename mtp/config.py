"""What a run is: its configuration, its canonical form and its name. No torch here.

A run is a trained model. Its name is a readable slug plus eight hexadecimal digits over the
configuration in canonical form, so two experiments that ask for the same model share it.

    >>> config = RunConfig(corpus="code_small", vocabulary="bytes", dim=64, layers=4, attention_heads=2,
    ...                    context=128, batch_size=16, steps=100, peak_lr=1e-3)
    >>> config.name()
    'code_small-bytes-d64x4-n1-s0-...'
"""

import ast
import dataclasses
import difflib
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtp.errors import UserError

MAX_FUTURE = 64
"""Largest n_future. The data pipeline keeps this many tokens of look-ahead, so that the order of the
windows does not depend on n and all arms of an experiment read the same data."""

PRECISIONS = ("float32", "bfloat16")
HEADS_FOLDER = Path(__file__).parent / "heads"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as "; did you mean 'n_future'?" (empty when nothing is close)."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def head_layouts() -> tuple[str, ...]:
    """Names of the head layouts: the file names in `mtp/heads/`."""
    return tuple(sorted(p.stem for p in HEADS_FOLDER.glob("*.py") if not p.stem.startswith("_")))


@functools.cache
def layers_per_head(layout: str) -> int:
    """Transformer layers that one head of this layout takes from the trunk.

    Read as the literal `LAYERS_PER_HEAD` from the layout's source, since importing it would import torch.
    """
    for node in ast.parse((HEADS_FOLDER / f"{layout}.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="LAYERS_PER_HEAD")], value=ast.Constant(value=int(n))):
                return n
    raise UserError(f"mtp/heads/{layout}.py: no literal LAYERS_PER_HEAD = <int>")


def vocabulary_size(vocabulary: str) -> int:
    """256 for `bytes`, V for `bpe<V>`."""
    if vocabulary == "bytes":
        return 256
    if vocabulary.startswith("bpe") and vocabulary[3:].isdigit():
        return int(vocabulary[3:])
    raise UserError(f"vocabulary: {vocabulary!r} is neither 'bytes' nor 'bpe<size>' (for example bpe4096)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run. Defaults are the paper's (Appendix M, Table S13) where it states them.

    A new option must have a default that means "as before": names hash only what differs from the
    defaults, so old names, and with them old results, stay valid.
    """

    # data
    corpus: str
    vocabulary: str
    # model (Section 2; Llama blocks)
    dim: int
    layers: int
    """All transformer layers, heads included: the trunk has `layers - n_future` of them (parallel heads)."""
    attention_heads: int
    n_future: int = 1
    heads: str = "parallel"
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    # optimisation
    context: int
    """Positions per window, in tokens (bytes for byte models)."""
    batch_size: int
    """Windows per step."""
    micro_batch: int = 0
    """Windows per forward and backward pass (gradients accumulate); 0 means the whole batch at once."""
    steps: int
    peak_lr: float
    warmup_steps: int = 0
    decay_ratio: float = 0.03
    """The cosine ends at `decay_ratio * peak_lr`."""
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    precision: str = "float32"
    """`bfloat16` is autocast: weights and optimiser state stay in float32."""
    seed: int = 0
    validations: int = 8
    """Points of the validation curve."""

    def __post_init__(self) -> None:
        def need(ok: bool, message: str) -> None:
            if not ok:
                raise UserError(message)

        for name in (
            "dim",
            "layers",
            "attention_heads",
            "n_future",
            "context",
            "batch_size",
            "steps",
            "validations",
        ):
            need(getattr(self, name) >= 1, f"{name}: must be at least 1, got {getattr(self, name)}")
        vocabulary_size_ = vocabulary_size(self.vocabulary)
        need(
            256 <= vocabulary_size_ <= 65536,
            f"vocabulary: {self.vocabulary!r} does not fit 16 bits (256 to 65536 entries)",
        )
        need(
            self.n_future <= MAX_FUTURE,
            f"n_future: {self.n_future} is more than {MAX_FUTURE}, the loader's look-ahead",
        )
        need(
            self.heads in head_layouts(),
            f"heads: unknown layout {self.heads!r}{nearest(self.heads, head_layouts())}"
            f" (known: {', '.join(head_layouts())})",
        )
        need(
            self.dim % self.attention_heads == 0 and (self.dim // self.attention_heads) % 2 == 0,
            f"dim: {self.dim} split over attention_heads: {self.attention_heads} must give an even whole number"
            " (RoPE turns pairs)",
        )
        need(
            self.trunk_layers >= 1,
            f"n_future: {self.n_future} {self.heads} heads leave no trunk of layers: {self.layers}"
            f" (needs at least {self.layers - self.trunk_layers + 1})",
        )
        need(
            self.micro_batch == 0 or (self.micro_batch > 0 and self.batch_size % self.micro_batch == 0),
            f"micro_batch: {self.micro_batch} does not divide batch_size: {self.batch_size}",
        )
        need(self.peak_lr > 0, f"peak_lr: must be positive, got {self.peak_lr}")
        need(0 <= self.decay_ratio <= 1, f"decay_ratio: must be in [0, 1], got {self.decay_ratio}")
        need(
            0 <= self.warmup_steps <= self.steps,
            f"warmup_steps: {self.warmup_steps} is not in [0, steps: {self.steps}]",
        )
        need(
            self.precision in PRECISIONS,
            f"precision: unknown {self.precision!r}{nearest(self.precision, PRECISIONS)}"
            f" (known: {', '.join(PRECISIONS)})",
        )

    # ---- derived sizes -------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        return vocabulary_size(self.vocabulary)

    @property
    def trunk_layers(self) -> int:
        """Layers of the shared trunk: what the n heads leave over (Section 2: "removing n-1 layers")."""
        return self.layers - self.n_future * layers_per_head(self.heads)

    @property
    def ffn_dim(self) -> int:
        """Width of SwiGLU: 8/3 dim (so that a block has 12 dim^2 weights), rounded up as Llama does."""
        multiple = 256 if self.dim >= 1024 else 32
        exact = 8 * self.dim // 3
        return -(-exact // multiple) * multiple

    @property
    def unembeddings(self) -> int:
        """Unembedding matrices: one, or one per head where the layout replicates them (Appendix B)."""
        return self.n_future if layers_per_head(self.heads) == 0 else 1

    @property
    def non_embedding_parameters(self) -> int:
        """Weights of all blocks and norms (4 dim^2 attention + 3 dim ffn + 2 dim norms per layer)."""
        return self.layers * (4 * self.dim**2 + 3 * self.dim * self.ffn_dim + 2 * self.dim) + self.dim

    @property
    def parameters(self) -> int:
        """All weights: blocks, norms, embedding and unembedding(s), untied (footnote 1 of the paper)."""
        return self.non_embedding_parameters + (1 + self.unembeddings) * self.vocab_size * self.dim

    @property
    def tokens(self) -> int:
        """Training positions in all."""
        return self.steps * self.batch_size * self.context

    @property
    def flops(self) -> float:
        """Training FLOPs: 6 per weight and position, plus causal attention, unembedding once per head."""
        blocks = self.layers * (4 * self.dim**2 + 3 * self.dim * self.ffn_dim)
        attention = self.layers * self.context * self.dim  # half of 2*T*d: the causal half
        unembed = self.n_future * self.vocab_size * self.dim
        return 6.0 * (blocks + attention + unembed) * self.tokens

    # ---- canonical form and name ---------------------------------------------------------------------

    def canonical(self) -> "RunConfig":
        """With n_future = 1 every head layout is the same plain model: one name for all of them."""
        return dataclasses.replace(self, heads="parallel") if self.n_future == 1 else self

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Sorted JSON: the form in which a configuration travels to a job and is hashed."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def digest(self) -> str:
        """Eight hexadecimal digits over the canonical configuration without its defaults."""
        values = self.canonical().to_dict()
        told = {f.name: values[f.name] for f in dataclasses.fields(self) if values[f.name] != f.default}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]

    def name(self) -> str:
        """Folder of the run: slug and digest."""
        heads = "" if self.n_future == 1 or self.heads == "parallel" else f"-{self.heads}"
        return (
            f"{self.corpus}-{self.vocabulary}-d{self.dim}x{self.layers}{heads}"
            f"-n{self.n_future}-s{self.seed}-{self.digest()}"
        )

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(f.name for f in dataclasses.fields(cls))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Strict: unknown keys, missing keys and values of the wrong type are errors.

        Raises:
            UserError: naming the key (callers add the file).
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key in values:
            if key not in fields:
                raise UserError(f"{key}: unknown key{nearest(key, fields)}")
        clean: dict[str, Any] = {}
        for key, field in fields.items():
            if key not in values:
                if field.default is dataclasses.MISSING:
                    raise UserError(f"{key}: missing")
                continue
            clean[key] = _typed(key, values[key], field.type)
        return cls(**clean)

    @classmethod
    def from_json(cls, text: str) -> "RunConfig":
        return cls.from_dict(json.loads(text))


def _typed(key: str, value: Any, kind: Any) -> Any:
    """`value` as `kind` (int, float or str); YAML reads 1e-3 as text, so numbers in text count as floats."""
    try:
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
    except ValueError:
        pass
    raise UserError(f"{key}: expected {kind.__name__}, got {value!r}")

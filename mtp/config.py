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
from typing import Any, TypeVar

from mtp.errors import UserError

T = TypeVar("T")

MAX_FUTURE = 64
"""Largest n_future. The data pipeline keeps this many tokens of look-ahead, so that the order of the
windows does not depend on n and all arms of an experiment read the same data."""

PRECISIONS = ("float32", "bfloat16")
LOSS_SCHEMES = ("naive", "checkpointed", "sequential", "chunked")
HEAD_SCHEDULES = ("constant", "add", "drop", "fade_in", "fade_out")
LOSS_ON = ("all", "answers")
HEADS_FOLDER = Path(__file__).parent / "heads"
TRUNKS_FOLDER = Path(__file__).parent / "trunks"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as "; did you mean 'n_future'?" (empty when nothing is close)."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


@functools.cache
def head_layouts() -> tuple[str, ...]:
    """Names of the head layouts: the file names in `mtp/heads/`."""
    return tuple(sorted(p.stem for p in HEADS_FOLDER.glob("*.py") if not p.stem.startswith("_")))


@functools.cache
def trunks() -> tuple[str, ...]:
    """Names of the trunks: the file names in `mtp/trunks/`."""
    return tuple(sorted(p.stem for p in TRUNKS_FOLDER.glob("*.py") if not p.stem.startswith("_")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrunkKind:
    """What a trunk's layer is made of: the literal `TRUNK` of its file."""

    squares: int
    """dim x dim matrices of a layer."""
    ffns: int
    """dim x ffn_dim matrices of a layer."""
    norms: int
    """Norm weights (dim) of a layer."""
    attends: bool
    """Positions attend to each other, so that heads can be such layers too, and documents can be kept apart."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """What a head layout costs and allows: the literal `LAYOUT` of its file."""

    layers_per_head: int
    """Transformer layers that one head takes from the trunk."""
    matrices_per_head: int = 0
    """dim x dim matrices of every head, beside its layers."""
    matrices_per_link: int = 0
    """dim x dim matrices that join a head to the one before it (n - 1 links)."""
    vectors_per_link: int = 0
    """Norm weights (dim) of every link."""
    own_unembedding: bool = False
    """Every head has an unembedding of its own, instead of one for all."""
    one_state: bool = False
    """All heads predict from the trunk state itself."""
    reads_ahead: bool = False
    """Head i sees the i - 1 tokens before the one it predicts."""
    detachable: bool = True
    """Heads 2..n can be left out without changing head 1, so that `detach_heads` means something."""


@functools.cache
def layout_of(name: str) -> Layout:
    """Read as a literal from the layout's source, since importing it would import torch.

    Raises:
        UserError: the file has no literal LAYOUT, or one with unknown keys.
    """
    return _literal(HEADS_FOLDER / f"{name}.py", "LAYOUT", Layout)


@functools.cache
def trunk_of(name: str) -> TrunkKind:
    """The same for a trunk.

    Raises:
        UserError: the file has no literal TRUNK, or one with unknown keys.
    """
    return _literal(TRUNKS_FOLDER / f"{name}.py", "TRUNK", TrunkKind)


def _literal(path: Path, name: str, kind: type[T]) -> T:
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                try:
                    return kind(**ast.literal_eval(value))
                except (TypeError, ValueError) as error:
                    raise UserError(f"mtp/{path.parent.name}/{path.name}: {name}: {error}") from None
    raise UserError(f"mtp/{path.parent.name}/{path.name}: no literal {name} = {{...}}")


def parse_head_weights(text: str, n: int) -> tuple[float, ...]:
    """Weights of the n heads' losses: `uniform`, `geometric 0.5` (1, 1/2, 1/4, ...) or a list "1, 0.5, 0.25".

    Raises:
        UserError: not one of these, a negative weight, none positive, or not n of them.
    """
    words = text.replace(",", " ").split()
    try:
        if words == ["uniform"]:
            weights = (1.0,) * n
        elif words[:1] == ["geometric"] and len(words) == 2:
            weights = tuple(float(words[1]) ** i for i in range(n))
        else:
            weights = tuple(map(float, words))
    except ValueError:
        raise UserError(
            f"head_weights: {text!r} is neither 'uniform', 'geometric <ratio>' nor a list of numbers"
        ) from None
    if len(weights) != n:
        raise UserError(f"head_weights: {len(weights)} weights for n_future: {n}")
    if not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise UserError(f"head_weights: {text!r}: weights must be 0 or more, and one of them positive")
    return weights


def vocabulary_size(vocabulary: str) -> int:
    """256 for `bytes`, V for `bpe<V>` and, of others' SentencePiece models, `sp<V>`."""
    if vocabulary == "bytes":
        return 256
    for kind in ("bpe", "sp"):
        if vocabulary.startswith(kind) and vocabulary[len(kind) :].isdigit():
            return int(vocabulary[len(kind) :])
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
    fresh_names: bool = False
    """Characters of training stories get new made-up names every epoch (mtp/data/renamed.py); not in the paper."""
    # model (Section 2; Llama blocks)
    dim: int
    layers: int
    """All transformer layers, heads included: the trunk has `layers - n_future` of them (parallel heads)."""
    attention_heads: int
    trunk: str = "transformer"
    """`transformer` or `gru` (mtp/trunks)."""
    extra_layers: int = 0
    """Layers beyond `layers`, so that heads need not be paid for by the trunk (Table S4: "+3")."""
    n_future: int = 1
    heads: str = "parallel"
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    # loss (Section 2; the paper weighs all heads alike, in the sequential order)
    loss_scheme: str = "chunked"
    """Same gradient, different memory: `naive`, `checkpointed`, `sequential` (Figure 2) or `chunked`, which is
    sequential and never holds more than a chunk of logits (mtp/loss.py)."""
    head_weights: str = "uniform"
    """`uniform`, `geometric <ratio>` or one number per head."""
    head_schedule: str = "constant"
    """How the weights of heads 2..n change over training: `constant`; `add` or `drop` them one after another in n
    equal phases; `fade_in` or `fade_out` linearly."""
    detach_heads: bool = False
    """Heads 2..n learn, but trunk, head 1, norm and unembedding learn from head 1 alone."""
    document_mask: bool = False
    """Nothing is attended to, and nothing but head 1 is trained, across the end of a document."""
    loss_on: str = "all"
    """`answers`: of examples `question=answer` (synthetic tasks) only the answer and its separator are targets."""
    teacherless: bool = False
    """The model reads pads in place of answers, so that it predicts them without having seen their beginning
    (Monea et al., 2023; Bachmann and Nagarajan, 2024)."""
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
    compile: bool = False
    """Blocks through torch.compile: pays on a GPU and for long runs; needs a C++ compiler on a CPU."""
    checkpoint_trunk: bool = False
    """Recompute the trunk's layers in the backward pass instead of keeping their activations."""
    seed: int = 0
    validations: int = 8
    """Points of the validation curve."""
    snapshots: int = 0
    """Weights kept on the way, evenly spaced, for evaluations that choose among epochs (mtp/snapshots.py)."""
    init_from: str = ""
    """Name of the run whose weights it starts from (mtp/lineage.py); default: from random weights."""
    checkpoint: str = ""
    """Folder of weights in Meta's format that are taken as they are (mtp/released.py); default: it is trained."""

    def __post_init__(self) -> None:
        def need(ok: bool, message: str) -> None:
            if not ok:
                raise UserError(message)

        def need_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
            if value not in known:
                raise UserError(f"{name}: unknown {value!r}{nearest(value, known)} (known: {', '.join(known)})")

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
        need_one_of("heads", self.heads, head_layouts())
        need_one_of("trunk", self.trunk, trunks())
        need(
            self.trunk_kind.attends or self.layout.layers_per_head == 0,
            f"heads: {self.heads} heads are transformer layers; trunk: {self.trunk} has linear, replicated or zero",
        )
        need(
            self.trunk_kind.attends or not self.document_mask,
            f"document_mask: the state of trunk: {self.trunk} runs on across documents",
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
        need(0 <= self.snapshots < self.steps, f"snapshots: {self.snapshots} is not in [0, steps: {self.steps})")
        need(self.extra_layers >= 0, f"extra_layers: must be 0 or more, got {self.extra_layers}")
        need_one_of("loss_scheme", self.loss_scheme, LOSS_SCHEMES)
        need_one_of("head_schedule", self.head_schedule, HEAD_SCHEDULES)
        need_one_of("precision", self.precision, PRECISIONS)
        need_one_of("loss_on", self.loss_on, LOSS_ON)
        weights = parse_head_weights(self.head_weights, self.n_future)
        need(
            not self.detach_heads or self.layout.detachable,
            f"detach_heads: head 1 of the {self.heads} layout cannot do without the others",
        )
        need(
            weights[0] > 0 or not self.detach_heads,
            "detach_heads: head 1 alone trains the trunk, so its weight in head_weights must be positive",
        )
        need(
            self.loss_on == "all" or self.vocabulary == "bytes",
            f"loss_on: answers stand behind the byte '='; vocabulary: {self.vocabulary} has tokens",
        )
        need(
            not (self.checkpoint and self.init_from),
            f"checkpoint: {self.checkpoint} brings its weights; it cannot start from {self.init_from} too",
        )
        need(
            not self.teacherless or self.loss_on == "answers",
            "teacherless: questions are not to be predicted from pads; it needs loss_on: answers",
        )
        need(self.peak_lr > 0, f"peak_lr: must be positive, got {self.peak_lr}")
        need(0 <= self.decay_ratio <= 1, f"decay_ratio: must be in [0, 1], got {self.decay_ratio}")
        need(
            0 <= self.warmup_steps <= self.steps,
            f"warmup_steps: {self.warmup_steps} is not in [0, steps: {self.steps}]",
        )

    # ---- derived sizes -------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        return vocabulary_size(self.vocabulary)

    @property
    def separator(self) -> int:
        """Entry that ends a document (mtp/data/vocabulary.py)."""
        return 0xFF if self.vocabulary == "bytes" else 2 if self.vocabulary.startswith("sp") else 0

    @property
    def pad(self) -> int:
        """Entry that occurs in no document (mtp/data/vocabulary.py)."""
        return 0xFE if self.vocabulary == "bytes" else 0 if self.vocabulary.startswith("sp") else 1

    @property
    def trunk_kind(self) -> TrunkKind:
        return trunk_of(self.trunk)

    @property
    def layout(self) -> Layout:
        return layout_of(self.heads)

    @property
    def weights_of_heads(self) -> tuple[float, ...]:
        """Weights of the n losses, before any schedule."""
        return parse_head_weights(self.head_weights, self.n_future)

    @property
    def all_layers(self) -> int:
        """Transformer layers of trunk and heads together."""
        return self.layers + self.extra_layers

    @property
    def trunk_layers(self) -> int:
        """Layers of the shared trunk: what the n heads leave over (Section 2: "removing n-1 layers")."""
        return self.all_layers - self.n_future * self.layout.layers_per_head

    @property
    def ffn_multiple(self) -> int:
        """What the width of SwiGLU is a multiple of."""
        return 256 if self.dim >= 1024 else 32

    @property
    def ffn_dim(self) -> int:
        """Width of SwiGLU: 8/3 dim (so that a block has 12 dim^2 weights), rounded up as Llama does."""
        exact = 8 * self.dim // 3
        return -(-exact // self.ffn_multiple) * self.ffn_multiple

    @property
    def unembeddings(self) -> int:
        """Unembedding matrices: one, or one per head where the layout replicates them (Appendix B)."""
        return self.n_future if self.layout.own_unembedding else 1

    @property
    def _block_matrices(self) -> int:
        """Weights that a position is multiplied with, unembedding aside: those of the layers (of a transformer
        4 dim^2 attention and 3 dim ffn each), and what the layout adds."""
        kind = self.trunk_kind
        added = self.n_future * self.layout.matrices_per_head + (self.n_future - 1) * self.layout.matrices_per_link
        layer = kind.squares * self.dim**2 + kind.ffns * self.dim * self.ffn_dim
        return self.all_layers * layer + added * self.dim**2

    @property
    def non_embedding_parameters(self) -> int:
        """All weights but embedding and unembedding: matrices, the norms of the layers and the final one."""
        norms = self.trunk_kind.norms * self.all_layers + 1 + (self.n_future - 1) * self.layout.vectors_per_link
        return self._block_matrices + norms * self.dim

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
        """Training FLOPs: 6 per weight and position, plus causal attention, unembedding once per head.

        Once in all where every head reads the same logits (one state, one unembedding).
        """
        attending = self.all_layers if self.trunk_kind.attends else 0
        attention = attending * self.context * self.dim  # half of 2*T*d: the causal half
        logits = 1 if self.layout.one_state and not self.layout.own_unembedding else self.n_future
        return 6.0 * (self._block_matrices + attention + logits * self.vocab_size * self.dim) * self.tokens

    # ---- canonical form and name ---------------------------------------------------------------------

    def canonical(self) -> "RunConfig":
        """One form, hence one name, for what is one model: with n_future = 1 every head layout is the plain model.

        Its one head is the last layer of a transformer, and nothing but an unembedding on another trunk.
        """
        weights = self.weights_of_heads
        told = "uniform" if set(weights) == {1.0} else ", ".join(map(str, weights))
        same = dataclasses.replace(self, head_weights=told)
        if self.n_future > 1:
            return same
        plain = "parallel" if self.trunk_kind.attends else "replicated"
        return dataclasses.replace(same, heads=plain, head_schedule="constant", detach_heads=False)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Sorted JSON: the form in which a configuration travels to a job and is hashed."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @functools.cached_property
    def digest(self) -> str:
        """Eight hexadecimal digits over the canonical configuration without its defaults."""
        values = self.canonical().to_dict()
        told = {f.name: values[f.name] for f in dataclasses.fields(self) if values[f.name] != f.default}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]

    def name(self) -> str:
        """Folder of the run: slug and digest."""
        trunk = "" if self.trunk == "transformer" else f"-{self.trunk}"
        heads = "" if self.n_future == 1 or self.heads == "parallel" else f"-{self.heads}"
        return (
            f"{self.corpus}-{self.vocabulary}{trunk}-d{self.dim}x{self.layers}{heads}"
            f"-n{self.n_future}-s{self.seed}-{self.digest}"
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
    """`value` as `kind` (int, float, bool or str); YAML reads 1e-3 as text, so numbers in text count as floats.

    A list of numbers counts as text: `head_weights: [1, 0.5]`.
    """
    try:
        if kind is bool and isinstance(value, bool):
            return value
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, str):
            return value
        if kind is str and isinstance(value, list) and all(isinstance(v, int | float) for v in value):
            return ", ".join(map(str, value))
    except ValueError:
        pass
    raise UserError(f"{key}: expected {kind.__name__}, got {value!r}")

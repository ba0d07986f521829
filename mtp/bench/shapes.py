"""The three sizes that are compared, and a model of ours of each. No torch here."""

import dataclasses
from typing import Any

from mtp.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Shape:
    """A decoder and its batch."""

    name: str
    dim: int
    heads: int
    """Of attention."""
    ffn: int
    layers: int
    windows: int
    context: int = 256
    vocabulary: int = 256

    @property
    def block_parameters(self) -> int:
        return self.layers * (4 * self.dim**2 + 3 * self.dim * self.ffn)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("1M", dim=96, heads=3, ffn=256, layers=10, windows=16),
        Shape("10M", dim=288, heads=6, ffn=768, layers=10, windows=8),
        Shape("100M", dim=768, heads=12, ffn=2048, layers=14, windows=2),
    )
}


def ours(shape: Shape, **options: Any) -> RunConfig:
    """Our model of this shape; its `ffn_dim` follows from dim and is the shape's."""
    words = "bytes" if shape.vocabulary == 256 else f"bpe{shape.vocabulary}"
    values: dict[str, Any] = {
        "corpus": "random", "vocabulary": words, "dim": shape.dim, "layers": shape.layers,
        "attention_heads": shape.heads, "context": shape.context, "batch_size": shape.windows,
        "steps": 10000, "peak_lr": 3e-4, "warmup_steps": 100,
    }  # fmt: skip
    return RunConfig.from_dict(values | options)

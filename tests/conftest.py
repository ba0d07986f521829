"""Shared fixtures: one thread, a tiny configuration, the repository's root."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import pytest

from mtp.config import RunConfig

ROOT = Path(__file__).resolve().parent.parent


def tiny(**changes: Any) -> RunConfig:
    """A model of a few thousand weights."""
    values: dict[str, Any] = {
        "corpus": "tiny", "vocabulary": "bytes", "dim": 16, "layers": 4, "attention_heads": 2, "context": 12,
        "batch_size": 3, "steps": 8, "peak_lr": 1e-2, "warmup_steps": 2, "validations": 2,
    }  # fmt: skip
    return RunConfig.from_dict(values | changes)


LONGEST_FIRST = (
    "test_workflow", "test_reproduce", "test_figures", "test_distributed", "test_train", "test_speculation",
    "test_bundle", "test_gallery", "test_readme",
)  # fmt: skip
"""Files of more than half a minute: begun last, one of them would keep a core busy while the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files are shared out over the cores in the order of their tests."""
    rank = {name: i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture
def root() -> Path:
    return ROOT

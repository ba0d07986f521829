"""Batches are a pure function of (seed, step), cover each epoch once and do not depend on n."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtp.config import MAX_FUTURE
from mtp.data.batches import Batches
from mtp.data.storage import write_manifest
from mtp.errors import UserError

PINNED = [
    [2059, 159, 1059, 1959],
    [1659, 859, 59, 2459],
    [759, 1259, 459, 1559],
    [2759, 1859, 2159, 359],
    [259, 1159, 2559, 2359],
    [959, 1459, 1359, 559],
    [1759, 2259, 659, 2659],
    [1638, 2138, 1538, 1338],
]
"""Starts of the windows of steps 0 to 7 of 28 windows an epoch."""


def counting_folder(folder: Path, size: int) -> Path:
    """A prepared folder whose token i is i, so that a window tells where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    np.arange(size, dtype=np.uint16).tofile(folder / "train.bin")
    vocabulary = {"name": "test", "size": 65536, "separator": 65535, "pad": 65534, "dtype": "uint16"}
    write_manifest(folder, {"vocabulary": vocabulary, "splits": {"train": {"tokens": size}}})
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counting")


def test_batch_is_a_pure_function_of_seed_and_step(folders: Path) -> None:
    folder = counting_folder(folders / "pure", 5000)
    one = Batches(folder, "train", 16, 8, seed=3)
    there = [one.batch(step, 4) for step in range(60)]
    other = Batches(folder, "train", 16, 8, seed=3)
    for step in (59, 0, 41, 7, 40):  # another order, across epochs
        assert np.array_equal(other.batch(step, 4), there[step])
    assert not np.array_equal(Batches(folder, "train", 16, 8, seed=4).batch(0, 4), there[0])


def test_order_is_pinned(folders: Path) -> None:
    """The order must not change between machines, numpy releases or edits: old runs would not be reproducible."""
    batches = Batches(counting_folder(folders / "pinned", 3000), "train", 100, 4, seed=0)
    starts = [batches.batch(step, 1)[:, 0].tolist() for step in range(8)]
    assert starts == PINNED


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(200, 3000),
    context=st.integers(1, 60),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**40),
    n_future=st.integers(1, MAX_FUTURE),
)
def test_every_epoch_reads_each_window_once(
    folders: Path, size: int, context: int, batch_size: int, seed: int, n_future: int
) -> None:
    folder = counting_folder(folders / str(size), size)
    try:
        batches = Batches(folder, "train", context, batch_size, seed)
    except UserError:
        assert (size - MAX_FUTURE - context + 1) // context < batch_size
        return
    steps = -(-2 * batches.windows // batch_size)
    windows = np.concatenate([batches.batch(step, n_future) for step in range(steps)])
    assert windows.shape == (steps * batch_size, context + n_future)
    assert windows.dtype == np.int64
    # Token i is i: a window is its start and the following numbers.
    assert np.array_equal(windows, windows[:, :1] + np.arange(context + n_future))
    for epoch in range(2):
        starts = np.sort(windows[epoch * batches.windows : (epoch + 1) * batches.windows, 0])
        assert np.array_equal(np.diff(starts), np.full(batches.windows - 1, context))
        assert 0 <= starts[0] < context
    assert batches.epoch_of(0) == 0
    assert batches.epoch_of(steps) >= 2


@given(n_future=st.integers(1, MAX_FUTURE), step=st.integers(0, 10**6))
def test_windows_do_not_depend_on_n(folders: Path, n_future: int, step: int) -> None:
    batches = Batches(counting_folder(folders / "n", 2000), "train", 20, 5, seed=1)
    assert np.array_equal(batches.batch(step, n_future)[:, :21], batches.batch(step, 1))


def test_offsets_differ_between_epochs(folders: Path) -> None:
    batches = Batches(counting_folder(folders / "offsets", 1000), "train", 50, 1, seed=0)
    offsets = {int(batches.batch(step, 1)[0, 0]) % 50 for step in range(0, 20 * batches.windows, batches.windows)}
    assert len(offsets) > 5


def test_too_small_a_corpus_is_refused(folders: Path) -> None:
    with pytest.raises(UserError, match=r"train\.bin: 500 tokens give 3 windows of context 100.*batch of 8"):
        Batches(counting_folder(folders / "small", 500), "train", 100, 8, seed=0)


def test_refuses_a_long_look_ahead_and_an_unknown_split(folders: Path) -> None:
    folder = counting_folder(folders / "refuse", 1000)
    with pytest.raises(UserError, match="n_future: must be 1 to 64, got 65"):
        Batches(folder, "train", 10, 2, seed=0).batch(0, 65)
    with pytest.raises(UserError, match="no split 'test'"):
        Batches(folder, "test", 10, 2, seed=0)
    with pytest.raises(UserError, match="holds no manifest"):
        Batches(folders / "nothing", "train", 10, 2, seed=0)


def test_manifest_names_the_type(folders: Path) -> None:
    folder = counting_folder(folders / "type", 1000)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"]["train.bin"]["bytes"] == 2000

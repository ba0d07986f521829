"""The vectorised 5-gram model against a naive one, and the file of baselines."""

import gzip
import itertools
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtp.data import baselines as module
from mtp.data.baselines import NGrams, _pack, baselines
from mtp.errors import UserError

SEPARATOR = 0xFF


class Naive:
    """Witten-Bell by dictionaries, straight from the formula."""

    def __init__(self, data: bytes) -> None:
        stream = bytes([SEPARATOR] * 4) + data
        self.counts: dict[bytes, Counter[int]] = defaultdict(Counter)
        for i in range(4, len(stream)):
            for length in range(5):
                self.counts[stream[i - length : i]][stream[i]] += 1

    def probability(self, context: bytes, byte: int) -> float:
        lower = self.probability(context[1:], byte) if context else 1 / 256
        seen = self.counts.get(context)
        if not seen:
            return lower
        return (seen[byte] + len(seen) * lower) / (seen.total() + len(seen))


def fitted(data: bytes) -> NGrams:
    model = NGrams()
    model.add(np.frombuffer(data, np.uint8))
    return model


SMALL = st.binary(max_size=60) | st.lists(st.sampled_from([1, 2, 255]), max_size=80).map(bytes)


@settings(deadline=None)
@given(
    train=SMALL,
    context=st.binary(min_size=4, max_size=4)
    | st.lists(st.sampled_from([1, 2, 255]), min_size=4, max_size=4).map(bytes),
)
def test_probabilities_sum_to_one_and_equal_the_naive_model(train: bytes, context: bytes) -> None:
    grams = np.array([int.from_bytes(context + bytes([byte]), "big") for byte in range(256)], np.uint64)
    found = fitted(train).probabilities(grams)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    naive = Naive(train)
    assert found == pytest.approx([naive.probability(context, byte) for byte in range(256)], rel=1e-12)


@given(train=SMALL, text=st.binary(min_size=1, max_size=30))
def test_bits_start_after_a_document_end(train: bytes, text: bytes) -> None:
    naive, stream = Naive(train), bytes([SEPARATOR] * 4) + text
    expected = -sum(math.log2(naive.probability(stream[i - 4 : i], stream[i])) for i in range(4, len(stream)))
    assert fitted(train).bits(np.frombuffer(text, np.uint8)) == pytest.approx(expected)


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200)), chunk=st.integers(1, 50))
def test_pieces_count_like_the_whole(data: bytes, cuts: list[int], chunk: int) -> None:
    whole, pieces = fitted(data), NGrams()
    borders = sorted({0, len(data), *(c for c in cuts if c < len(data))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        for start, end in itertools.pairwise(borders):
            pieces.add(np.frombuffer(data[start:end], np.uint8))
    assert pieces.size == whole.size == len(data)
    assert np.array_equal(pieces._keys, whole._keys)
    assert np.array_equal(pieces._counts, whole._counts)


def test_pack_puts_the_oldest_byte_highest() -> None:
    assert _pack(np.array([1, 2, 3, 4, 5, 6], np.uint8)).tolist() == [0x0102030405, 0x0203040506]


def test_file_of_baselines(
    bytes_folder: Path, bpe_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRAIN_BYTES", (1000, 10_000))
    out = tmp_path / "baselines.json"
    result = baselines(bytes_folder, out)
    assert json.loads(out.read_text()) == result
    manifest = json.loads((bytes_folder / "manifest.json").read_text())
    text, stream = manifest["splits"]["valid"]["bytes"], (bytes_folder / "valid.bin").read_bytes()
    # gzip's header and trailer are 18 bytes.
    assert result["gzip -9"] == pytest.approx(8 * (len(gzip.compress(stream, 9)) - 18) / text, abs=1e-3)
    train = (bytes_folder / "train.bin").read_bytes()
    assert [point["train_bytes"] for point in result["5-gram"]] == [1000, 10_000, len(train)]
    bits = [point["bits_per_byte"] for point in result["5-gram"]]
    naive, padded = Naive(train[:1000]), bytes([SEPARATOR] * 4) + stream
    total = -sum(math.log2(naive.probability(padded[i - 4 : i], padded[i])) for i in range(4, len(padded)))
    assert bits[0] == pytest.approx(total / text, abs=1e-3)
    assert result["provenance"]["commit"]
    with pytest.raises(UserError, match="pass the byte-level folder"):
        baselines(bpe_folder, out)

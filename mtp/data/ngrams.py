"""Hashes of token n-grams, the common ground of near-duplicate and contamination checks.

A token is a word or a single other character that is no space; tokens are lower-cased.
"""

import hashlib
import re

import numpy as np

_TOKEN = re.compile(r"\w+|[^\w\s]")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_CACHE = 1_000_000


class _TokenHashes(dict[str, int]):
    """64-bit hash of a token, computed once (words repeat); BLAKE2 is the same on every machine, `hash` is not."""

    def __missing__(self, token: str) -> int:
        value = int.from_bytes(hashlib.blake2b(token.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
        self[token] = value
        return value


_hashes = _TokenHashes()


def tokens(text: str) -> np.ndarray:
    """uint64 [tokens]: the hash of every token of the text."""
    if len(_hashes) > _CACHE:
        _hashes.clear()
    words = _TOKEN.findall(text.lower())
    return np.fromiter(map(_hashes.__getitem__, words), np.uint64, len(words))


def ngrams(token_hashes: np.ndarray, n: int) -> np.ndarray:
    """Sorted distinct uint64 hashes of all runs of n tokens; empty if there are fewer than n tokens."""
    count = len(token_hashes) - n + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    value = np.zeros(count, np.uint64)
    for i in range(n):
        value = value * _FACTOR + token_hashes[i : i + count]
        value ^= value >> np.uint64(29)  # the product alone leaves the low bits weak
    return np.unique(value)

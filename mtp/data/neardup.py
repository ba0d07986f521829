"""Near-duplicates: MinHash with locality-sensitive hashing (datasketch). The first of two like documents stays."""

import numpy as np

from mtp.data.ngrams import ngrams

PERMUTATIONS = 128
SHINGLE = 5
"""Tokens per shingle."""
THRESHOLD = 0.7
"""Jaccard similarity of two documents' shingles from which the later one is dropped."""
_CHUNK = 4096


class NearDuplicates:
    """Remembers the documents it has let pass."""

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._empty = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int)
        self._index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        self._passed: list[MinHash] = []

    def is_copy(self, token_hashes: np.ndarray) -> bool:
        """Whether a document like this one (tokens of `mtp.data.ngrams`) has passed; if not, remember it.

        The index proposes candidates, the MinHash estimate of the Jaccard similarity decides.
        """
        shingles = ngrams(token_hashes, min(SHINGLE, max(1, len(token_hashes)))) >> np.uint64(32)
        sketch = self._empty.copy()
        # 4096 x 128 permuted values fill 2 MB, which stays in the cache; a whole file at once would not.
        for start in range(0, len(shingles), _CHUNK):
            sketch.update_batch(shingles[start : start + _CHUNK].tolist())
        if any(sketch.jaccard(self._passed[key]) >= THRESHOLD for key in self._index.query(sketch)):
            return True
        self._index.insert(len(self._passed), sketch)
        self._passed.append(sketch)
        return False

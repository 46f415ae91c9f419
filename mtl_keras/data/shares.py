"""How much of a training epoch each of several data sets gets."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl_keras.errors import message

BY = ("size", "uniform")


class Shares:
    """Shares of an epoch by data set, constant or changing from epoch to epoch.

    `"size"`, `"uniform"` and a temperature `T` are one family: shares are proportional to `n ** a`, with the exponent
    `a` = 1, 0 and `1 / T`. While annealing, the exponent moves in a straight line where both ends have one; else the
    shares do.

    Args:
        sizes: `{data set: number of training examples}`.
        by: `"size"`, `"uniform"`, a temperature above 0, or `{data set: share}` with any positive numbers.
        anneal: `(by, epochs)`: what the shares become, and after how many epochs; default none.

    Raises:
        ValueError: An argument is not as described.

    Example:
        >>> shares = Shares({"a": 900, "b": 100}, by="size", anneal=("uniform", 2))
        >>> [shares.of(epoch).round(2).tolist() for epoch in (0, 1, 2, 3)]
        [[0.9, 0.1], [0.75, 0.25], [0.5, 0.5], [0.5, 0.5]]

    Sources: temperatures: Arivazhagan et al., Massively Multilingual Neural Machine Translation in the Wild, 2019;
    exponents that change while training: Stickland, Murray, BERT and PALs, ICML 2019.
    """

    def __init__(self, sizes: Mapping[str, int], by: Any = "size", anneal: tuple[Any, int] | None = None):
        self._log_sizes = np.log(np.array(list(sizes.values()), np.float64))
        self._names = list(sizes)
        self.epochs = 0 if anneal is None else _epochs(anneal)
        self._first = self._read(by)
        self._last = self._first if anneal is None else self._read(anneal[0])

    def of(self, epoch: int) -> np.ndarray:
        """The shares in an epoch counted from 0, float64 [S], in the order of `sizes`; they add up to 1."""
        part = 1.0 if self.epochs == 0 else min(epoch / self.epochs, 1.0)
        first, last = self._first, self._last
        if isinstance(first, float) and isinstance(last, float):
            return self._powers(first + part * (last - first))
        first, last = (self._powers(end) if isinstance(end, float) else end for end in (first, last))
        return np.asarray(first + part * (last - first))

    def counts(self, length: int) -> np.ndarray:
        """How many of `length` examples come from each data set, int64 [epochs + 1, S]; the last row is for ever.

        Each count is within one of its share.
        """
        return np.stack([whole_counts(self.of(epoch), length) for epoch in range(self.epochs + 1)])

    def _powers(self, exponent: float) -> np.ndarray:
        weights = np.exp(exponent * (self._log_sizes - self._log_sizes.max()))
        return np.asarray(weights / weights.sum())

    def _read(self, by: Any) -> float | np.ndarray:
        """An exponent, or shares."""
        if isinstance(by, str) and by in BY:
            return 1.0 if by == "size" else 0.0
        if isinstance(by, (int, float)) and not isinstance(by, bool) and math.isfinite(by) and by > 0:
            return 1.0 / float(by)
        if isinstance(by, Mapping):
            if set(by) != set(self._names):
                raise ValueError(
                    message(f"a share for each of {self._names}", "correct the keys of by", shares=list(by))
                )
            if not all(isinstance(share, (int, float, np.number)) and 0 < share < math.inf for share in by.values()):
                raise ValueError(message("shares above 0", "leave a data set out instead", shares=dict(by)))
            given = np.array([by[name] for name in self._names], np.float64)
            return np.asarray(given / given.sum())
        raise ValueError(
            message("by as 'size', 'uniform', a temperature above 0, or {data set: share}", "correct it", by=by)
        )


def whole_counts(shares: np.ndarray, length: int) -> np.ndarray:
    """Whole numbers that add up to `length`, each within one of `share * length` (largest remainders): int64 [S].

    Example:
        >>> whole_counts(np.array([0.5, 0.25, 0.25]), 10).tolist()
        [5, 3, 2]
    """
    exact = shares * length
    counts = np.floor(exact).astype(np.int64)
    left = length - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return counts


def _epochs(anneal: Any) -> int:
    if not isinstance(anneal, (tuple, list)) or len(anneal) != 2 or not _is_whole(anneal[1]):
        raise ValueError(message("anneal as (by, number of epochs)", "pass e.g. anneal=('uniform', 10)", anneal=anneal))
    return int(anneal[1])


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 100_000

"""Whole groups of examples divided into parts."""

from collections.abc import Sequence

import numpy as np


def divide_groups(members: np.ndarray, strata: np.ndarray, shares: Sequence[float], order: np.ndarray) -> np.ndarray:
    """The part of each group, so that every part comes close to its share of all examples and of every stratum.

    From the largest group to the smallest, each goes where it lowers most, or raises least, the sum over parts and
    strata, all examples being one more stratum, of `(count - wanted)^2 / wanted`.

    Args:
        members: Group of each example, int [N], from 0, none left out.
        strata: Class of each example, int [N].
        shares: Of the examples, one for each part; the sum is 1.
        order: The groups in the order in which those of equal size are placed.

    Returns:
        int8 [groups], index into `shares`.

    Example:
        >>> members = np.array([0, 0, 0, 0, 1, 1, 2, 2])
        >>> divide_groups(members, np.zeros(8, int), (0.5, 0.5), np.arange(3)).tolist()
        [0, 1, 1]

    Source: the largest first as in Graham, Bounds on Multiprocessing Timing Anomalies, 1969; the sum is Pearson's
    chi-square, 1900. That one sum judges sizes and strata together is ours.
    """
    sizes = np.bincount(members)
    classes, strata = np.unique(strata, return_inverse=True)
    everything = len(classes)  # the stratum of all examples
    cells, often = np.unique(members.astype(np.int64) * everything + strata, return_counts=True)
    # the cells of group g are those from first[g] to first[g + 1]
    first = np.searchsorted(cells, np.arange(len(sizes) + 1) * everything).tolist()
    class_of, count_of = (cells % everything).tolist(), often.tolist()
    totals = [*np.bincount(strata).tolist(), len(members)]
    wanted = {part: [share * total for total in totals] for part, share in enumerate(shares) if share > 0}
    missing = {part: list(of_part) for part, of_part in wanted.items()}

    placed = np.zeros(len(sizes), np.int8)
    for group in order[np.argsort(-sizes[order], kind="stable")].tolist():
        held = slice(first[group], first[group + 1])
        counts = [(everything, sum(count_of[held])), *zip(class_of[held], count_of[held], strict=True)]
        best, chosen = -np.inf, 0
        for part, short in missing.items():
            # added one by one: what sum() makes of floats depends on the version of Python
            gain = 0.0
            for of, count in counts:
                gain += count * (short[of] - count / 2) / wanted[part][of]
            if gain > best:
                best, chosen = gain, part
        placed[group] = chosen
        for of, count in counts:
            missing[chosen][of] -= count
    return placed

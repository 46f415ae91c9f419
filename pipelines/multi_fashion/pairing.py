"""Which source image goes into which split, which two make a pair, and how a pair becomes one image.

Every order is drawn from the raw 64-bit words of NumPy's PCG64, sorted: NumPy promises that they stay the same on every
platform and in every version, which it does not promise for `Generator.permutation`. The streams of a seed are
`[seed, 0, side]` for the split of the source images and `[seed, 1, split, side]` for the pairs.
"""

import numpy as np

SPLITS = ("train", "validation", "test")
SIDES = ("top_left", "bottom_right")
CANVAS = 36
SPLITTING, PAIRING = 0, 1


def balanced(size: int, count: int, stream: list[int]) -> np.ndarray:
    """`count` indices below `size`, in which every index occurs equally often, to one.

    Args:
        size: How many different indices there are.
        count: How many indices to give: whole permutations in a row, the last one cut off.
        stream: Seed words of PCG64, each from 0 to 2^32 - 1.

    Returns:
        Indices int64 [count].

    Example:
        >>> balanced(3, 7, [0]).tolist()
        [2, 1, 0, 1, 0, 2, 0]
    """
    words = np.random.PCG64(stream)
    rounds = -(-count // size) if size else 0
    orders = [np.argsort(words.random_raw(size), kind="stable") for _ in range(rounds)]
    return np.concatenate([np.empty(0, np.int64), *orders])[:count]


def pair(sizes: tuple[int, int], count: int, seed: int, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices [count] of the images at the top left and at the bottom right; the two orders are independent.

    Args:
        sizes: How many source images each side has in this split.
        count: How many pairs to make.
        seed: From 0 to 2^32 - 1.
        split: One of `SPLITS`.
    """
    first, second = (
        balanced(size, count, [seed, PAIRING, SPLITS.index(split), side]) for side, size in enumerate(sizes)
    )
    return first, second


def combine(top_left: np.ndarray, bottom_right: np.ndarray) -> np.ndarray:
    """Two images uint8 [28, 28] on one canvas [36, 36, 1]: at (0, 0) and (8, 8), the brighter pixel where both lie.

    Example:
        >>> canvas = combine(np.full((28, 28), 5, np.uint8), np.full((28, 28), 9, np.uint8))
        >>> canvas[[0, 8, 35], [0, 8, 35], 0].tolist(), int(canvas[0, 35, 0])
        ([5, 9, 9], 0)
    """
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    height, width = top_left.shape
    canvas[:height, :width] = top_left
    corner = canvas[-bottom_right.shape[0] :, -bottom_right.shape[1] :]
    np.maximum(corner, bottom_right, out=corner)
    return canvas[..., None]

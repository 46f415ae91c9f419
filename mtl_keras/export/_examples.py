"""Random inputs of the shapes and dtypes that a model wants."""

from collections.abc import Mapping, Sequence

import numpy as np


def random_arrays(wanted: Mapping[str, tuple[Sequence[int], str]], seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays by name: numbers between 0 and 1, 8-bit ones over their whole range, other whole numbers 0 or 1.

    Args:
        wanted: `{name: (shape, dtype)}`.
        seed: Seed, default 0.

    Example:
        >>> random_arrays({"image": ((1, 2, 2), "uint8")})["image"].shape
        (1, 2, 2)
    """
    rng = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for name, (shape, dtype) in wanted.items():
        values: np.ndarray
        if "float" in dtype:
            values = rng.random(tuple(shape))
        elif dtype in ("int8", "uint8"):
            limits = np.iinfo(dtype)
            values = rng.integers(limits.min, limits.max + 1, tuple(shape))
        else:
            values = rng.integers(0, 2, tuple(shape))
        made[name] = values.astype(dtype)
    return made

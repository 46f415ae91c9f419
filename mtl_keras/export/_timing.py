"""Timing several calls fairly: warmed up, in turn, in an order that changes."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from mtl_keras.errors import message

K = TypeVar("K")
WARM_UP = 5


def check_rounds(rounds: int) -> None:
    """Raise unless there is something to time."""
    if rounds < 1:
        raise ValueError(message("at least one round", "pass rounds=50", rounds=rounds))


def time_side_by_side(
    calls: Mapping[K, Callable[[], Any]], rounds: int = 50, warm_up: int = WARM_UP, seed: int = 0
) -> dict[K, list[float]]:
    """Milliseconds of every call in every round.

    In each round every call runs once, in an order drawn anew: what else the machine does meets all of them alike, and
    none always follows the same other. The garbage collector waits meanwhile.

    Args:
        calls: `{any key: function without arguments}`.
        rounds: Timed rounds, at least 1, default 50.
        warm_up: Rounds before those, not timed, default 5.
        seed: Seed of the order, default 0.

    Example:
        >>> times = time_side_by_side({"one": lambda: sum(range(10)), "two": lambda: sum(range(99))}, rounds=3)
        >>> {name: len(seen) for name, seen in times.items()}
        {'one': 3, 'two': 3}
    """
    check_rounds(rounds)
    keys = list(calls)
    times: dict[K, list[float]] = {key: [] for key in keys}
    rng = np.random.default_rng(seed)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(warm_up + rounds):
            for index in rng.permutation(len(keys)):
                call = calls[keys[index]]
                began = time.perf_counter()
                call()
                ended = time.perf_counter()
                if number >= warm_up:
                    times[keys[index]].append(1e3 * (ended - began))
    finally:
        if collecting:
            gc.enable()
    return times


def median_and_p95(milliseconds: Sequence[float]) -> tuple[float, float]:
    """The median, and the time that 95 of 100 calls do not exceed (interpolated).

    Example:
        >>> median_and_p95([3.0, 1.0, 2.0, 10.0])
        (2.5, 8.95)
    """
    median, p95 = np.percentile(np.asarray(milliseconds), [50, 95])
    return float(median), round(float(p95), 9)

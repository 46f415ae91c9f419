"""Values that a checkpoint can hold, numbers, texts, arrays and containers of them, to JSON and arrays and back."""

import copy
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Arrays = dict[str, np.ndarray]

# Keras' callbacks choose one of these when they first compare, and change the sign of `min_delta` with it
_COMPARISONS = {
    "keras.ops.less": keras.ops.less,
    "keras.ops.greater": keras.ops.greater,
    "numpy.less": np.less,
    "numpy.greater": np.greater,
}


def is_plain(value: Any) -> bool:
    """Whether a value is made of numbers, texts, None, comparisons, arrays, and lists, tuples and dicts of these.

    Example:
        >>> is_plain({"best": [1.0, np.zeros(2)]}), is_plain(print)
        (True, False)
    """
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    if isinstance(value, Mapping):
        return all(isinstance(key, (str, int)) and is_plain(item) for key, item in value.items())
    if isinstance(value, np.ndarray):
        return value.dtype != object
    return value is None or _is_comparison(value) or isinstance(value, (int, float, str, np.generic, tf.Tensor))


def _is_comparison(value: Any) -> bool:
    return any(value is function for function in _COMPARISONS.values())


def copied(value: Any) -> Any:
    """A copy that later changes in place do not reach."""
    return copy.deepcopy(value)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are alike; NaN is like NaN.

    Example:
        >>> same([float("nan"), np.ones(2)], [float("nan"), np.ones(2)]), same([1], (1,))
        (True, False)
    """
    if isinstance(one, (np.ndarray, np.generic, tf.Tensor)) or isinstance(other, (np.ndarray, np.generic, tf.Tensor)):
        one, other = np.asarray(one), np.asarray(other)
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other or (one != one and other != other)


def packed(value: Any, arrays: Arrays, prefix: str) -> Any:
    """The value as JSON; its arrays go into `arrays`, under names that begin with the prefix."""
    if isinstance(value, (np.ndarray, np.generic, tf.Tensor)):
        name = f"{prefix}{len(arrays)}"
        arrays[name] = np.asarray(value)
        return {"array": name, "scalar": isinstance(value, np.generic)}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [packed(item, arrays, prefix) for item in value]}
    if _is_comparison(value):
        return {"comparison": next(name for name, function in _COMPARISONS.items() if function is value)}
    if isinstance(value, Mapping):
        return {"dict": [[key, packed(item, arrays, prefix)] for key, item in value.items()]}
    return value


def unpacked(value: Any, arrays: Arrays) -> Any:
    """What `packed` took apart."""
    if not isinstance(value, dict):
        return value
    if "comparison" in value:
        return _COMPARISONS[value["comparison"]]
    if "array" in value:
        array = arrays[value["array"]]
        return array[()] if value["scalar"] else array
    if "dict" in value:
        return {key: unpacked(item, arrays) for key, item in value["dict"]}
    (kind,) = value
    items = [unpacked(item, arrays) for item in value[kind]]
    return tuple(items) if kind == "tuple" else items

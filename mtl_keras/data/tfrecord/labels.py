"""Labels as they lie in records, as arrays that `encode` takes."""

from typing import Any

import numpy as np

from mtl_keras.data.columns import Column
from mtl_keras.data.kinds import LabelKind


def as_array(values: list[Any]) -> np.ndarray:
    """The labels of one feature: float64 [N] or [N, A] with NaN, or texts [N] (object) with "", where there is none.

    Args:
        values: For each record an array of numbers, a list with one text as bytes, or None.

    Example:
        >>> as_array([np.array([3]), None]).tolist(), as_array([[b"red"], None]).tolist()
        ([3.0, nan], ['red', ''])
    """
    there = [value for value in values if value is not None]
    if there and isinstance(there[0], list):
        return np.array(["" if v is None else v[0].decode("utf-8", "replace") for v in values], object)
    count = len(there[0]) if there else 1
    nothing = np.full(count, np.nan)
    table = np.array([nothing if value is None else value for value in values], np.float64).reshape(len(values), count)
    return table[:, 0] if count == 1 else table


def inferred_kind(stored: str, values: np.ndarray) -> str:
    """What labels most likely are: texts and single whole numbers classes, several 0 and 1 attributes, else numbers.

    Args:
        stored: Type of the list that they are stored in, e.g. `"int64_list"`.
        values: From `as_array`.
    """
    if stored == "bytes_list" or (stored == "int64_list" and values.ndim == 1):
        return "class"
    if values.ndim > 1 and (np.isin(values, (0, 1)) | np.isnan(values)).all():
        return "multilabel"
    return "number"


def as_stored(kind: LabelKind, values: np.ndarray) -> np.ndarray:
    """Labels that were written by their kind, as the kind has them in memory."""
    dtype = kind.spec.dtype.as_numpy_dtype
    filled = np.nan_to_num(values, nan=kind.missing) if kind.num_classes is not None else values
    return filled.astype(dtype).reshape(len(values), *kind.spec.shape)


def misfits(values: np.ndarray, column: Column) -> tuple[np.ndarray, str]:
    """Which labels [N] are none of the task's, and what would have been right.

    Args:
        values: From `as_array`, of usable records.
        column: What is known of the task's labels, the kind included.
    """
    kind = column.kind
    if values.dtype == object:
        if kind not in ("class", "ordinal"):
            return values != "", f"numbers as labels of kind {kind!r}"
        if column.names is None:
            return np.zeros(len(values), bool), ""
        return ~np.isin(values.astype(str), ["", *column.names]), f"a label among {list(column.names)}"
    with np.errstate(invalid="ignore"):
        if kind in ("class", "ordinal"):
            if values.ndim > 1:
                return np.ones(len(values), bool), f"one class id as label of kind {kind!r}"
            highest = np.inf if column.names is None else len(column.names) - 1
            wrong = (values < -1) | (values > highest) | (values != np.floor(values)) & ~np.isnan(values)
            limit = "" if column.names is None else f" to {highest}"
            return wrong, f"a class id from 0{limit}, or -1 where missing"
        if kind == "multilabel":
            wrong = ~np.isin(values, (0, 1)) & ~np.isnan(values)
            expected = "0 or 1"
        else:
            low = -np.inf if column.low is None else column.low
            high = np.inf if column.high is None else column.high
            wrong = ~((values >= low) & (values <= high) & (np.abs(values) < 3e38)) & ~np.isnan(values)
            expected = "a number" + ("" if column.low is None and column.high is None else f" from {low:g} to {high:g}")
    return wrong.reshape(len(wrong), -1).any(axis=1), expected

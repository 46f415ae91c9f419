"""Batches of NumPy arrays by name, from whatever holds data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Some examples.

    Attributes:
        inputs: `{input: [B, ...]}`.
        labels: `{task: [B, ...]}`; empty where the data have none.
        weights: `{task: [B, ...]}` for the tasks that have sample weights.
    """

    inputs: Arrays
    labels: Arrays
    weights: Arrays

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(next(iter(self.inputs.values())))


def read_batches(data: Any, inputs: list[str], tasks: list[str], split: str = "val", size: int = 64) -> Iterator[Batch]:
    """Batches by name.

    Args:
        data: A `mtl_keras.data` source; a finite `tf.data.Dataset` of batches `x`, `(x, y)` or `(x, y, weights)`; or
            arrays in the same form. `x` is a batch, or `{input: batch}`; `y` and `weights` are dicts by task.
        inputs: The model's inputs in order.
        tasks: The model's tasks.
        split: Which split of a source.
        size: Examples per batch of a source or of arrays, default 64.

    Raises:
        ValueError: The data have another form or other names, are empty or without end.
    """
    if hasattr(data, "batches"):
        data = data.batches(size, split=split)
    parts = _slices(data, size) if not isinstance(data, tf.data.Dataset) else _elements(data)
    empty = True
    for part in parts:
        empty = False
        x, y, weights = keras.utils.unpack_x_y_sample_weight(part)
        yield Batch(_inputs(x, inputs), _by_task("labels", y, tasks), _by_task("sample weights", weights, tasks))
    if empty:
        raise ValueError(message("at least one batch of data", "check the file or filter behind it", batches=0))


def _elements(dataset: tf.data.Dataset) -> Iterator[Any]:
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(message("a dataset with an end", "end it with dataset.take(n)", cardinality="infinite"))
    return dataset.as_numpy_iterator()


def _slices(data: Any, size: int) -> Iterator[Any]:
    arrays = keras.tree.map_structure(np.asarray, data)
    lengths = {len(array) if array.ndim else None for array in keras.tree.flatten(arrays)}
    length = lengths.pop() if len(lengths) == 1 else None
    if length is None:
        raise ValueError(
            message(
                "a data source, a tf.data.Dataset of batches, or arrays (x, {task: y}) of equal lengths",
                "check the data",
                type=type(data).__name__,
            )
        )
    for start in range(0, length, size):
        rows = slice(start, start + size)
        yield keras.tree.map_structure(lambda array, rows=rows: array[rows], arrays)


def _inputs(x: Any, names: list[str]) -> Arrays:
    if not isinstance(x, Mapping):
        listed = list(x) if isinstance(x, (list, tuple)) else [x]
        x = dict(zip(names, listed, strict=True)) if len(listed) == len(names) else dict(enumerate(listed))
    if set(x) != set(names):
        raise ValueError(message(f"the inputs {names} by name", "let the data give {name: batch}", inputs=list(x)))
    return {name: np.asarray(x[name]) for name in names}


def _by_task(what: str, values: Any, tasks: list[str]) -> Arrays:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        if what == "labels" and len(tasks) > 1:
            raise ValueError(message(f"{what} as a dict by task name", "name them", type=type(values).__name__))
        values = dict.fromkeys(tasks, values)
    return {task: np.asarray(value) for task, value in values.items() if task in tasks and value is not None}

"""Examples that show a quantizer what activations look like, with every class of every task among them."""

from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.export._batches import Arrays, Batch, read_batches

_BINS = 8  # into which numbers are sorted, so that rare sizes are among the examples
_POOL = 4  # candidates kept at a time, as a multiple of the examples wanted
_READ = 100  # examples read at most, as a multiple of the examples wanted


def calibration_examples(model: keras.Model, data: Any, examples: int = 200, seed: int = 0) -> Arrays:
    """Examples from data, balanced over the classes of all tasks.

    The examples are chosen one by one: each time the one whose labels are rarest among those chosen so far, `sum over
    tasks of 1 / (1 + how often its label was chosen)`, the first of a seeded order where several are. Class ids and
    attributes count as they are, numbers by eight ranges of equally many labels; missing labels and labels of elements
    (pixels) do not count. Without labels the choice is random. At most 100 times as many are read, and few are kept.

    Args:
        model: A functional model with dict outputs.
        data: A data source (its training split), a finite `tf.data.Dataset` of batches, or arrays: `x` or `(x, {task:
            y})`, with sample weights where there are.
        examples: How many, default 200; fewer where the data have fewer.
        seed: Seed of the choice, default 0.

    Returns:
        `{input: examples}` of the model's dtypes.

    Raises:
        ValueError: There are no data, or an input is not finite.

    Example:
        >>> import keras, numpy as np
        >>> x = keras.Input((2,), name="x")
        >>> model = keras.Model(x, {"a": keras.layers.Dense(2)(x)})
        >>> labels = np.array([0] * 98 + [1] * 2)
        >>> chosen = calibration_examples(model, (np.eye(100, 2, -97, "float32"), {"a": labels}), examples=4)
        >>> chosen["x"].shape
        (4, 2)
    """
    if isinstance(examples, bool) or examples != int(examples) or examples < 1:
        raise ValueError(message("a whole number of examples, at least 1", "pass 200", examples=examples))
    rng = np.random.default_rng(seed)
    inputs, tasks = [tensor.name for tensor in model.inputs], list(model.output)
    pool, read = _Pool(), 0
    for batch in read_batches(data, inputs, tasks, split="train"):
        pool.add(batch, rng.random(batch.size))
        read += batch.size
        if pool.size > _POOL * examples:
            pool.keep(_POOL * examples // 2)
        if read >= _READ * examples:
            break
    pool.keep(examples)
    chosen = {tensor.name: pool.inputs[tensor.name].astype(tensor.dtype) for tensor in model.inputs}
    for name, values in chosen.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(
                message(f"finite examples of input {name!r}", "correct the data", values="NaN or infinite")
            )
    return chosen


class _Pool:
    """Candidates: inputs, labels as columns of numbers (NaN where there is none), and their random order."""

    def __init__(self) -> None:
        self.inputs: Arrays = {}
        self._labels: Arrays = {}
        self._order = np.zeros(0)

    @property
    def size(self) -> int:
        return len(self._order)

    def add(self, batch: Batch, order: np.ndarray) -> None:
        found = {task: _columns(values, batch.weights.get(task)) for task, values in batch.labels.items()}
        labels = {task: values for task, values in found.items() if values is not None}
        for task in {**self._labels, **labels}:
            like = labels[task] if task in labels else self._labels[task]
            before = self._labels.get(task, np.full((self.size, like.shape[1]), np.nan))
            new = labels.get(task, np.full((batch.size, like.shape[1]), np.nan))
            self._labels[task] = np.concatenate([before, new])
        for name, values in batch.inputs.items():
            self.inputs[name] = np.concatenate([self.inputs[name], values]) if name in self.inputs else values
        self._order = np.concatenate([self._order, order])

    def keep(self, count: int) -> None:
        """Drop all but `count` candidates, so that the labels stay balanced."""
        chosen = _balanced(list(self._labels.values()), self._order, count)
        self.inputs = {name: values[chosen] for name, values in self.inputs.items()}
        self._labels = {task: values[chosen] for task, values in self._labels.items()}
        self._order = self._order[chosen]


def _columns(labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
    """Labels [B] or [B, A] as float [B, A] with NaN where one is missing; None for labels of elements."""
    if labels.ndim > 2 or labels.dtype.kind not in "biuf":
        return None
    columns = labels.astype("float64").reshape(len(labels), -1)
    columns[columns == -1] = np.nan  # "no label" among class ids; of a number it costs one candidate's turn at most
    if weights is not None:
        given = np.broadcast_to(weights.reshape(len(weights), -1), columns.shape)
        columns[given == 0] = np.nan
    return columns


def _ids(values: np.ndarray) -> np.ndarray:
    """One column as ids from 0, -1 where there is no label; numbers that are no ids become bins of equal counts."""
    exists = ~np.isnan(values)
    found = values[exists]
    if len(np.unique(found)) > _BINS and not (np.all(found == np.rint(found)) and found.size and found.min() >= 0):
        edges = np.quantile(found, np.linspace(0, 1, _BINS + 1)[1:-1])
        found = np.searchsorted(edges, found)
    ids = np.full(len(values), -1)
    ids[exists] = np.unique(found, return_inverse=True)[1]
    return ids


def _balanced(tasks: list[np.ndarray], order: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` candidates whose labels are as balanced as may be, in the order in which they are chosen."""
    by_order = np.argsort(order, kind="stable")
    columns = [(_ids(column), 1 / values.shape[1]) for values in tasks for column in values.T]
    if not columns or count >= len(order):
        return by_order[:count]
    starts = np.cumsum([0, *[ids.max() + 1 for ids, _ in columns]])
    ids = np.stack([ids + start for (ids, _), start in zip(columns, starts, strict=False)], axis=1)
    shares = np.stack([share * (ids >= 0) for ids, share in columns], axis=1)
    ids, shares = np.maximum(ids, 0)[by_order], shares[by_order]
    times = np.zeros(starts[-1] + 1)
    free = np.ones(len(order), bool)
    chosen = np.zeros(count, int)
    for turn in range(count):
        wanted = (shares / (1 + times[ids])).sum(axis=1)
        best = int(np.argmax(np.where(free, wanted, -1.0)))
        free[best] = False
        np.add.at(times, ids[best], shares[best] > 0)
        chosen[turn] = by_order[best]
    return chosen

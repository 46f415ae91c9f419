"""Examples of one split: the contract that every kind of storage keeps, and the storages that are in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import permutation
from mtl_keras.data.parallel import AT_ONCE

Example = dict[str, tf.Tensor]
# how many examples are read at once where they are wanted one by one
_AT_ONCE = 16


class Examples(ABC):
    """The examples of one split, in a defined order and of known number.

    An example is a dict of tensors: every input of the source by name, and every task's label by name, with the kind's
    missing value where there is none (-1 for class ids, NaN for numbers and attributes). Each has a number, which does
    not depend on the order; labels are in memory, by number.

    Inputs are read in two steps, because what is done once for a batch costs a fraction of what is done for each of its
    examples: `stored` gives what lies in the storage, `read` makes inputs of a batch of it. A storage that can be read
    in any order (arrays, files in a table) inherits from `IndexedExamples`, one that can only be read in a row
    (records) from this class.

    Args:
        labels: `{task: array [N, ...]}`, the labels of examples 0 to N - 1. An example of number N has none.
        size: How many of them belong to the split, default all.

    Attributes:
        size: How many examples there are.
        labels: As given.
        rows: How many rows labels can be looked up in, N + 1.
    """

    def __init__(self, labels: Mapping[str, np.ndarray], size: int | None = None):
        self.labels = dict(labels)
        count = len(next(iter(self.labels.values())))
        self.size = count if size is None else size
        self.rows = count + 1
        with tf.device("CPU:0"):
            self._tables = {task: tf.constant(with_none(values)) for task, values in self.labels.items()}

    def length(self, shuffle: bool) -> int:
        """How many examples a pass gives: all of them, but for mixtures, whose shuffled epochs have their own."""
        return self.size

    @abstractmethod
    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        """One pass over the examples.

        Args:
            key: An int64 scalar that stands for seed and epoch, see `data.order`: it decides the order and everything
                else that is random.
            shuffle: Whether the order follows from the key; else it is the storage's own.

        Returns:
            A dataset of `(number, stored)`: an int64 scalar, and what `read` takes in batches, of any structure. Its
            cardinality need not be known.
        """

    @abstractmethod
    def read(self, number: tf.Tensor, stored: Any) -> Example:
        """The inputs of a batch.

        Args:
            number: Of each example, int64 [B].
            stored: What lies in the storage, in a batch.
        """

    def labels_of(self, number: tf.Tensor) -> Example:
        """The labels of the examples of these numbers, int64 [B]."""
        return {task: tf.gather(table, number) for task, table in self._tables.items()}

    def whole(self, number: tf.Tensor, stored: Any) -> Example:
        """Inputs and labels of a batch, see `read`."""
        return {**self.read(number, stored), **self.labels_of(number)}

    def batched(
        self, keys: tf.data.Dataset, shuffle: bool, batch_size: int, drop_remainder: bool = False
    ) -> tf.data.Dataset:
        """One pass for each key, in batches as they are stored: `(key, (number [B], stored))`.

        Args:
            keys: A dataset of keys, read in every pass.
            shuffle: See `stored`.
            batch_size: B.
            drop_remainder: Whether a last part of a batch is left out.
        """

        def one_pass(key: tf.Tensor) -> tf.data.Dataset:
            batches = self.in_batches(key, shuffle, batch_size, drop_remainder)
            return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(key).repeat(), batches)

        return keys.flat_map(one_pass)

    def in_batches(self, key: tf.Tensor, shuffle: bool, batch_size: int, drop_remainder: bool) -> tf.data.Dataset:
        """As `stored`, in batches."""
        return self.stored(key, shuffle).batch(batch_size, drop_remainder)

    def one_by_one(
        self, key: tf.Tensor, shuffle: bool, renumber: Callable[[tf.Tensor], tf.Tensor] = tf.identity
    ) -> tf.data.Dataset:
        """One pass over `(number, inputs)`.

        Args:
            key: See `stored`.
            shuffle: See `stored`.
            renumber: From numbers [B] to those that the examples get, default the same.
        """
        few = self.in_batches(key, shuffle, _AT_ONCE, drop_remainder=False)
        return few.map(
            lambda number, stored: (renumber(number), self.read(number, stored)), num_parallel_calls=tf.data.AUTOTUNE
        ).unbatch()

    def own_labels(self) -> dict[str, np.ndarray]:
        """The labels of the examples that belong to the split, [size, ...]."""
        return self.labels

    def tally(self, kinds: Mapping[str, LabelKind]) -> dict[str, Tally]:
        """Count the labels of every task, once."""
        labels = self.own_labels()
        return {task: kind.tally(labels[task]) for task, kind in kinds.items()}

    def explain(self, error: str) -> str | None:
        """What is wrong with which example, given an error that reading them raised; None where nothing is."""
        return None

    def lost(self) -> dict[str, int]:
        """How many examples, by file, could no longer be read and were left out, where they may be."""
        return {}


class IndexedExamples(Examples):
    """Examples that can be read in any order, by their number.

    A subclass defines `inputs(index)`. Where that takes a whole batch of indices [B] at once, it sets `takes_batches`.
    """

    takes_batches = False

    @abstractmethod
    def inputs(self, index: tf.Tensor) -> Example:
        """The inputs of the example with this index."""

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        numbers = self.order(key, shuffle)
        if self.takes_batches:
            return tf.data.Dataset.from_tensor_slices((numbers, ()))
        one_by_one = tf.data.Dataset.from_tensor_slices(numbers)
        return one_by_one.map(lambda number: (number, self.inputs(number)), num_parallel_calls=AT_ONCE)

    def read(self, number: tf.Tensor, stored: Any) -> Example:
        return self.inputs(number) if self.takes_batches else stored

    def order(self, key: tf.Tensor, shuffle: bool) -> tf.Tensor:
        """The numbers of all examples in order, int64 [N]."""
        return permutation(key, self.size) if shuffle else tf.range(self.size, dtype=tf.int64)


class ArrayExamples(IndexedExamples):
    """Examples that lie in arrays in memory.

    Args:
        inputs: `{input: array [N, ...]}`.
        labels: `{task: array [N, ...]}`.
    """

    takes_batches = True

    def __init__(self, inputs: Mapping[str, Any], labels: Mapping[str, np.ndarray]):
        super().__init__(labels)
        with tf.device("CPU:0"):
            self._input_tensors = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}

    def inputs(self, index: tf.Tensor) -> Example:
        return {name: tf.gather(values, index) for name, values in self._input_tensors.items()}


def with_none(labels: np.ndarray) -> np.ndarray:
    """Labels [N, ...] with one more row that has none: -1 for whole numbers, else NaN.

    Example:
        >>> with_none(np.array([3, 1])).tolist()
        [3, 1, -1]
    """
    none = np.nan if labels.dtype.kind == "f" else -1
    return np.concatenate([labels, np.full((1, *labels.shape[1:]), none, labels.dtype)])

"""Examples of one split: the contract that every kind of storage keeps, and the storages that are in memory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import example_seed, permutation

Example = dict[str, tf.Tensor]


class Examples(ABC):
    """The examples of one split, in a defined order and of known number.

    An example is a dict of tensors: every input of the source by name, and every task's label by name, with the kind's
    missing value where there is none (-1 for class ids, NaN for numbers and attributes). A storage that can be read in
    any order (arrays, files in a table) inherits from `IndexedExamples`, one that can only be read in a row (records)
    from this class.

    Attributes:
        size: How many there are.
    """

    size: int

    def length(self, shuffle: bool) -> int:
        """How many examples `ordered` gives: all of them, but for mixtures, whose shuffled epochs have their own."""
        return self.size

    @abstractmethod
    def ordered(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        """One pass over the examples.

        Args:
            keys: A dataset of one int64 scalar that stands for seed and epoch, see `data.order`: read in every pass,
                it decides the order and everything else that is random.
            shuffle: Whether the order follows from the key; else it is the storage's own.

        Returns:
            A dataset of `(seed, example)`: a seed [2] of the example's own for this epoch (`order.example_seed`), and
            the dict. Its cardinality need not be known.
        """

    def batched(
        self, keys: tf.data.Dataset, shuffle: bool, batch_size: int, drop_remainder: bool = False
    ) -> tf.data.Dataset:
        """As `ordered`, in batches: seeds [B, 2] and a dict of tensors [B, ...]."""
        return self.ordered(keys, shuffle).batch(batch_size, drop_remainder, num_parallel_calls=tf.data.AUTOTUNE)

    @abstractmethod
    def tally(self, kinds: Mapping[str, LabelKind]) -> dict[str, Tally]:
        """Count the labels of every task, once."""

    def explain(self, error: str) -> str | None:
        """What is wrong with which example, given an error that reading them raised; None where nothing is."""
        return None


class IndexedExamples(Examples):
    """Examples that can be read in any order; labels are in memory.

    Args:
        labels: `{task: array [N, ...]}`.
        size: N.

    A subclass defines `inputs(index)`. Where that takes a whole batch of indices [B] at once, it sets `takes_batches`.
    """

    takes_batches = False

    def __init__(self, labels: Mapping[str, np.ndarray], size: int):
        self.size = size
        self.labels = dict(labels)
        with tf.device("CPU:0"):
            self._label_tensors = {task: tf.constant(values) for task, values in self.labels.items()}

    @abstractmethod
    def inputs(self, index: tf.Tensor) -> Example:
        """The inputs of the example with this index."""

    def take(self, index: tf.Tensor) -> Example:
        """Inputs and labels of the example with this index."""
        labels = {task: tf.gather(values, index) for task, values in self._label_tensors.items()}
        return {**self.inputs(index), **labels}

    def ordered(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        return self._indices(keys, shuffle).map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def batched(
        self, keys: tf.data.Dataset, shuffle: bool, batch_size: int, drop_remainder: bool = False
    ) -> tf.data.Dataset:
        if not self.takes_batches:
            return super().batched(keys, shuffle, batch_size, drop_remainder)
        indices = self._indices(keys, shuffle).batch(batch_size, drop_remainder)
        return indices.map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def tally(self, kinds: Mapping[str, LabelKind]) -> dict[str, Tally]:
        return {task: kind.tally(self.labels[task]) for task, kind in kinds.items()}

    def _indices(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        """Seed and index of every example, in order."""
        size = self.size

        def one_pass(key: tf.Tensor) -> tf.data.Dataset:
            indices = permutation(key, size) if shuffle else tf.range(size, dtype=tf.int64)
            return tf.data.Dataset.from_tensor_slices((example_seed(key, indices), indices))

        return keys.flat_map(one_pass)

    def _example(self, seed: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Example]:
        return seed, self.take(index)


class ArrayExamples(IndexedExamples):
    """Examples that lie in arrays in memory.

    Args:
        inputs: `{input: array [N, ...]}`.
        labels: `{task: array [N, ...]}`.
    """

    takes_batches = True

    def __init__(self, inputs: Mapping[str, Any], labels: Mapping[str, np.ndarray]):
        super().__init__(labels, len(next(iter(inputs.values()))))
        with tf.device("CPU:0"):
            self._input_tensors = {name: tf.convert_to_tensor(values) for name, values in inputs.items()}

    def inputs(self, index: tf.Tensor) -> Example:
        return {name: tf.gather(values, index) for name, values in self._input_tensors.items()}

"""Examples that a tensorflow-datasets builder gives."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import example_seed


class TfdsExamples(Examples):
    """The examples of one split, read in the builder's order; shuffled, a buffer of them is mixed by the key.

    Builders shuffle examples when they write them, so that a buffer mixes what was mixed before. Labels were read
    before, and come from memory.

    Args:
        stored: The inputs as they are stored, one example each, always in the same order.
        decode: From what is stored, and the example's number, to the inputs.
        labels: `{task: labels [N, ...]}`, with the kind's missing value.
        size: N.
        shuffle_buffer: How many examples are mixed at a time.
    """

    def __init__(
        self,
        stored: tf.data.Dataset,
        decode: Callable[[Example, tf.Tensor], Example],
        labels: Mapping[str, np.ndarray],
        size: int,
        shuffle_buffer: int,
    ):
        self.size, self.decode, self.shuffle_buffer = size, decode, shuffle_buffer
        self._stored = stored.enumerate()
        self._values = dict(labels)
        with tf.device("CPU:0"):
            self._labels = {task: tf.constant(values) for task, values in labels.items()}

    def ordered(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        def one_pass(key: tf.Tensor) -> tf.data.Dataset:
            stored = self._stored
            if shuffle and self.size > 1:
                buffer = min(self.shuffle_buffer, self.size)
                stored = stored.shuffle(buffer, seed=key, reshuffle_each_iteration=False)
            return stored.map(lambda number, values: (example_seed(key, number), number, values))

        return keys.flat_map(one_pass).map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def tally(self, kinds: Mapping[str, LabelKind]) -> dict[str, Tally]:
        return {task: kind.tally(self._values[task]) for task, kind in kinds.items()}

    def _example(self, seed: tf.Tensor, number: tf.Tensor, stored: Example) -> tuple[tf.Tensor, Example]:
        labels = {task: tf.gather(values, number) for task, values in self._labels.items()}
        return seed, {**self.decode(stored, number), **labels}

"""Examples that a tensorflow-datasets builder gives."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.order import mixed
from mtl_keras.data.parallel import AT_ONCE


class TfdsExamples(Examples):
    """The examples of one split, read in the builder's order; shuffled, a buffer of them is mixed by the key.

    Builders shuffle examples when they write them, so that a buffer mixes what was mixed before. Labels were read
    before, and come from memory.

    Args:
        stored: The inputs as they are stored, one example each, always in the same order.
        decode: From what is stored, and the example's number, to the inputs.
        labels: `{task: labels [N, ...]}`, with the kind's missing value.
        shuffle_buffer: How many examples are mixed at a time.
    """

    def __init__(
        self,
        stored: tf.data.Dataset,
        decode: Callable[[Example, tf.Tensor], Example],
        labels: Mapping[str, np.ndarray],
        shuffle_buffer: int,
    ):
        super().__init__(labels)
        self.decode, self.shuffle_buffer = decode, shuffle_buffer
        self._dataset = stored.enumerate()

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        stored = self._dataset
        if shuffle and self.size > 1:
            buffer = min(self.shuffle_buffer, self.size)
            stored = mixed(stored, buffer, key)
        return stored.map(lambda number, values: (number, self.decode(values, number)), num_parallel_calls=AT_ONCE)

    def read(self, number: tf.Tensor, stored: Example) -> Example:
        return stored

"""Examples that lie in TFRecord files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.order import mixed, permutation
from mtl_keras.data.parallel import AT_ONCE
from mtl_keras.data.rows import rows_of
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.files import RecordFiles
from mtl_keras.errors import message

# how many files are read at once
_AT_ONCE = 16


class RecordExamples(Examples):
    """The records of one split.

    In order, files are read one after the other. Shuffled, the files come in the key's order, 16 of them are read at
    once in turns, and a buffer of records is mixed by the key. Labels were read before, and come from memory.

    Args:
        files: Where the records are.
        inputs: `{input: how it is stored}`.
        facts: `{input: what the feature told of each record}`, [N] or [N, ...].
        labels: `{task: labels of each record}`, [N] or [N, ...], with the kind's missing value.
        mine: Which of the records belong to the split, bool [N].
        shuffle_buffer: How many records are mixed at a time.
    """

    def __init__(
        self,
        files: RecordFiles,
        inputs: Mapping[str, Feature],
        facts: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        mine: np.ndarray,
        shuffle_buffer: int,
    ):
        super().__init__(labels, int(mine.sum()))
        self.files, self.inputs, self.shuffle_buffer = files, dict(inputs), shuffle_buffer
        self._own_labels = {task: values[mine] for task, values in labels.items()}
        # the record's name of each input, and what it is parsed as
        self._features = {feature.feature or name: feature.stored for name, feature in inputs.items()}
        self._takes_batches = all(feature.takes_batches for feature in inputs.values())
        with tf.device("CPU:0"):
            self._mine = None if mine.all() else tf.constant(mine)
        self._facts = {name: rows_of(files.with_stand_in(values)) for name, values in facts.items()}

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        records = self._records(key, shuffle)
        if self._takes_batches:
            return records

        def parse(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, Example]:
            return number, self._inputs(number, tf.io.parse_single_example(record, self._features))

        if self.files.lost is None:
            return records.map(parse, num_parallel_calls=AT_ONCE)

        def parse_or_leave_out(number: tf.Tensor, record: tf.Tensor) -> tf.data.Dataset:
            one = tf.data.Dataset.from_tensors((number, record))
            return one.map(parse).ignore_errors().concatenate(one.map(self._left_out)).take(1)

        return records.interleave(parse_or_leave_out, _AT_ONCE, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def read(self, number: tf.Tensor, stored: Any) -> Example:
        return self._inputs(number, tf.io.parse_example(stored, self._features)) if self._takes_batches else stored

    def lost(self) -> dict[str, int]:
        return {} if self.files.lost is None else self.files.lost.by_file()

    def own_labels(self) -> dict[str, np.ndarray]:
        return self._own_labels

    def explain(self, error: str) -> str | None:
        found = self.files.changed(self.inputs)
        if found is None:
            return None
        path, number, expected = found
        where = {} if number is None else {"record": number}
        do = "restore the file, or make the source again with skip_bad=True, which leaves out what is damaged"
        return message(f"{expected}, as it was before training", do, file=path, **where)

    def _records(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        """Number and bytes of every record of the split."""
        files = self.files
        order = permutation(key, files.count) if shuffle else tf.range(files.count, dtype=tf.int64)
        in_order = tf.data.Dataset.from_tensor_slices(order)
        if not shuffle or files.count == 1:
            records = in_order.flat_map(lambda index: files.records(index, self._mine))
        else:
            records = in_order.interleave(
                lambda index: files.records(index, self._mine),
                cycle_length=min(_AT_ONCE, files.count),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
        records = records.unbatch()
        if shuffle and self.size > 1:
            records = mixed(records, min(self.shuffle_buffer, self.size), key)
        return records

    def _left_out(self, number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, Example]:
        """What stands for a record whose inputs cannot be read: one without labels, so that nothing is learnt."""

        def note(number: int) -> np.ndarray:
            self.files.note_lost(int(number), "inputs that can be read")
            return np.array(self.files.size)

        none = tf.ensure_shape(tf.numpy_function(note, [number], tf.int64), ())
        blank = {name: tf.zeros(feature.spec.shape, feature.spec.dtype) for name, feature in self.inputs.items()}
        return none, blank

    def _inputs(self, number: tf.Tensor, parsed: Example) -> Example:
        """The inputs of one record, or of a batch of them."""
        return {
            name: feature.read(parsed[feature.feature or name], self._facts[name](number))
            for name, feature in self.inputs.items()
        }

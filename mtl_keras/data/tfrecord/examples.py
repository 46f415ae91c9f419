"""Examples that lie in TFRecord files."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.order import permutation
from mtl_keras.data.rows import rows_of
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.frames import compression_of, readable
from mtl_keras.data.tfrecord.scan import ScannedFile, Scanner
from mtl_keras.errors import message

# how many files are read at once, and how many records in a row come from each
_AT_ONCE, _IN_A_ROW = 16, 32
_BUFFER = 2**20


class RecordFiles:
    """The records of several files in a row, numbered from 0 over all files; damaged ones are passed over.

    Args:
        files: What was found in them.
    """

    def __init__(self, files: Sequence[ScannedFile]):
        counts = [len(file.numbers) for file in files]
        self.size = sum(counts)
        self.count = len(files)
        packed = [compression_of(file.path) for file in files]
        damaged = [file.damaged for file in files]
        places = [file.places if file.damaged else [] for file in files]
        with tf.device("CPU:0"):
            self._paths = tf.constant([file.path for file in files])
            self._packed = tf.constant(packed) if any(packed) else None
            self._damaged = tf.constant(damaged) if any(damaged) else None
            self._counts = tf.constant(counts, tf.int64)
            self._first = tf.cumsum(self._counts, exclusive=True)
            self._places = tf.RaggedTensor.from_row_lengths(
                tf.constant([place for row in places for place in row], tf.int64, shape=(sum(map(len, places)), 2)),
                [len(row) for row in places],
            )
        self._before = [(file.path, file.frames, {problem.record for problem in file.problems}) for file in files]

    def records(self, index: tf.Tensor, mine: tf.Tensor | None = None) -> tf.data.Dataset:
        """`(numbers, records)` of one file in order, some at a time.

        Args:
            index: Of the file.
            mine: Which of the records of all files are wanted, bool [N], default all.
        """
        # a function that is called for each record would cost more than reading it
        first = tf.gather(self._first, index)
        end = first + tf.gather(self._counts, index)
        numbered = tf.data.Dataset.zip(tf.data.Dataset.range(first, end), self._read(index))
        if mine is not None:
            wanted = tf.data.Dataset.from_tensor_slices(mine[first:end])
            both = tf.data.Dataset.zip(wanted, numbered).filter(lambda wanted, numbered: wanted)
            numbered = both.map(lambda wanted, numbered: numbered)
        return numbered.batch(_IN_A_ROW)

    def _read(self, index: tf.Tensor) -> tf.data.Dataset:
        """The records of one file."""
        path = tf.gather(self._paths, index)
        packed = "" if self._packed is None else tf.gather(self._packed, index)
        if self._damaged is None:
            return tf.data.TFRecordDataset(path, packed, _BUFFER)
        # TensorFlow's reader stops at damage, if not before
        damaged = tf.gather(self._damaged, index)
        whole = tf.data.TFRecordDataset(tf.boolean_mask(path[None], ~damaged[None]), packed, _BUFFER)
        content = tf.cond(damaged, lambda: tf.numpy_function(readable, [path], tf.string), lambda: "")
        content = tf.ensure_shape(content, ())
        pieces = tf.data.Dataset.from_tensor_slices(self._places[index])
        return whole.concatenate(pieces.map(lambda place: tf.strings.substr(content, place[0], place[1])))

    def changed(self, inputs: Mapping[str, Feature]) -> tuple[str, int | None, str] | None:
        """File, number and what was expected of the first record that is no longer as it was; None where all are.

        Args:
            inputs: `{input: how it is stored}`.
        """
        for path, frames, known in self._before:
            try:
                now = Scanner(inputs, []).scan(path)
            except ValueError:
                return path, None, "a file that is there"
            for problem in now.problems:
                if problem.record not in known:
                    return path, problem.record, problem.expected
            if now.frames != frames:
                return path, min(now.frames, frames), f"{frames} records"
        return None


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
        self._facts = {name: rows_of(values) for name, values in facts.items()}

    def stored(self, key: tf.Tensor, shuffle: bool) -> tf.data.Dataset:
        records = self._records(key, shuffle)
        if self._takes_batches:
            return records

        def parse(number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, Example]:
            return number, self._inputs(number, tf.io.parse_single_example(record, self._features))

        return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)

    def read(self, number: tf.Tensor, stored: Any) -> Example:
        return self._inputs(number, tf.io.parse_example(stored, self._features)) if self._takes_batches else stored

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
            records = records.shuffle(min(self.shuffle_buffer, self.size), seed=key, reshuffle_each_iteration=False)
        return records

    def _inputs(self, number: tf.Tensor, parsed: Example) -> Example:
        """The inputs of one record, or of a batch of them."""
        return {
            name: feature.read(parsed[feature.feature or name], self._facts[name](number))
            for name, feature in self.inputs.items()
        }

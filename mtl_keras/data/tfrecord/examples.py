"""Examples that lie in TFRecord files."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import example_seed, permutation
from mtl_keras.data.rows import rows_of
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.frames import compression_of, readable
from mtl_keras.data.tfrecord.scan import ScannedFile, Scanner
from mtl_keras.errors import message

# how many files are read at once, and how many records in a row come from each
_AT_ONCE, _IN_A_ROW = 16, 16
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
        packed = [bool(compression_of(file.path)) for file in files]
        places = [file.places if file.damaged else [] for file in files]
        with tf.device("CPU:0"):
            self._paths = tf.constant([file.path for file in files])
            self._packed = tf.constant(packed)
            self._damaged = tf.constant([file.damaged for file in files])
            self._counts = tf.constant(counts, tf.int64)
            self._first = tf.cumsum(self._counts, exclusive=True)
            self._places = tf.RaggedTensor.from_row_lengths(
                tf.constant([place for row in places for place in row], tf.int64, shape=(sum(map(len, places)), 2)),
                [len(row) for row in places],
            )
        self._any_packed, self._any_damaged = any(packed), any(file.damaged for file in files)
        self._before = [(file.path, file.frames, {problem.record for problem in file.problems}) for file in files]

    def records(self, index: tf.Tensor, key: tf.Tensor, mine: tf.Tensor | None = None) -> tf.data.Dataset:
        """`(seed, record)` of one file in order, where a seed is key and number.

        Args:
            index: Of the file.
            key: See `Examples.ordered`.
            mine: Which of the records of all files are wanted, bool [N], default all.
        """
        # what belongs to a record is laid out beforehand, as a function that is called for each would cost the most
        numbers = tf.gather(self._first, index) + tf.range(tf.gather(self._counts, index), dtype=tf.int64)
        seeds = tf.data.Dataset.from_tensor_slices(example_seed(key, numbers))
        if mine is None:
            return tf.data.Dataset.zip(seeds, self._read(index))
        wanted = tf.data.Dataset.from_tensor_slices(tf.gather(mine, numbers))
        chosen = tf.data.Dataset.zip(wanted, seeds, self._read(index)).filter(lambda wanted, seed, record: wanted)
        return chosen.map(lambda wanted, seed, record: (seed, record))

    def _read(self, index: tf.Tensor) -> tf.data.Dataset:
        """The records of one file."""
        path, packed, damaged = (tf.gather(of, index) for of in (self._paths, self._packed, self._damaged))

        def where(chosen: tf.Tensor) -> tf.Tensor:
            return tf.boolean_mask(path[None], chosen[None])

        records = tf.data.TFRecordDataset(where(~(damaged | packed)), buffer_size=_BUFFER)
        if self._any_packed:
            unpacked = tf.data.TFRecordDataset(where(packed & ~damaged), "GZIP", _BUFFER)
            records = records.concatenate(unpacked)
        if self._any_damaged:
            # TensorFlow's reader stops at damage, if not before
            content = tf.cond(damaged, lambda: tf.numpy_function(readable, [path], tf.string), lambda: "")
            content = tf.ensure_shape(content, ())
            pieces = tf.data.Dataset.from_tensor_slices(self._places[index])
            records = records.concatenate(pieces.map(lambda place: tf.strings.substr(content, place[0], place[1])))
        return records

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
        self.files, self.inputs, self.shuffle_buffer = files, dict(inputs), shuffle_buffer
        self.size = int(mine.sum())
        self._of_split = {task: values[mine] for task, values in labels.items()}
        # the record's name of each input, and what it is parsed as
        self._stored = {feature.feature or name: feature.stored for name, feature in inputs.items()}
        with tf.device("CPU:0"):
            self._mine = tf.constant(mine)
            self._labels = {task: tf.constant(values) for task, values in labels.items()}
        self._facts = {name: rows_of(values) for name, values in facts.items()}

    def ordered(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        return self._records(keys, shuffle).map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def batched(
        self, keys: tf.data.Dataset, shuffle: bool, batch_size: int, drop_remainder: bool = False
    ) -> tf.data.Dataset:
        if not all(feature.takes_batches for feature in self.inputs.values()):
            return super().batched(keys, shuffle, batch_size, drop_remainder)
        records = self._records(keys, shuffle).batch(batch_size, drop_remainder)
        return records.map(self._example, num_parallel_calls=tf.data.AUTOTUNE)

    def tally(self, kinds: Mapping[str, LabelKind]) -> dict[str, Tally]:
        return {task: kind.tally(self._of_split[task]) for task, kind in kinds.items()}

    def explain(self, error: str) -> str | None:
        found = self.files.changed(self.inputs)
        if found is None:
            return None
        path, number, expected = found
        where = {} if number is None else {"record": number}
        do = "restore the file, or make the source again with skip_bad=True, which leaves out what is damaged"
        return message(f"{expected}, as it was before training", do, file=path, **where)

    def _records(self, keys: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        """Seed and bytes of every record of the split."""
        files = self.files
        mine = self._mine if self.size < files.size else None

        def one_pass(key: tf.Tensor) -> tf.data.Dataset:
            order = permutation(key, files.count) if shuffle else tf.range(files.count, dtype=tf.int64)
            in_order = tf.data.Dataset.from_tensor_slices(order)
            if not shuffle or files.count == 1:
                records = in_order.flat_map(lambda index: files.records(index, key, mine))
            else:
                records = in_order.interleave(
                    lambda index: files.records(index, key, mine),
                    cycle_length=min(_AT_ONCE, files.count),
                    block_length=_IN_A_ROW,
                    num_parallel_calls=tf.data.AUTOTUNE,
                    deterministic=True,
                )
            if shuffle and self.size > 1:
                buffer = min(self.shuffle_buffer, self.size)
                records = records.shuffle(buffer, seed=key, reshuffle_each_iteration=False)
            return records

        return keys.flat_map(one_pass)

    def _example(self, seed: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, Example]:
        """Seed and example of one record, or of a batch of them."""
        number = seed[..., 1]
        parse = tf.io.parse_example if record.shape.rank else tf.io.parse_single_example
        stored = parse(record, self._stored)
        inputs = {
            name: feature.read(stored[feature.feature or name], self._facts[name](number))
            for name, feature in self.inputs.items()
        }
        return seed, {**inputs, **{task: tf.gather(values, number) for task, values in self._labels.items()}}

"""Examples that lie in TFRecord files."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import Example, Examples
from mtl_keras.data.kinds import LabelKind, Tally
from mtl_keras.data.order import example_seed, permutation
from mtl_keras.data.rows import rows_of
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.frames import compression_of
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
        packed = [compression_of(file.path) for file in files]
        # a damaged file is read as a whole and cut at the places found; a packed one is read up to the damage
        cut = [file.damaged and not kind for file, kind in zip(files, packed, strict=True)]
        with tf.device("CPU:0"):
            self._paths = tf.constant([file.path for file in files])
            self._packed = tf.constant([bool(kind) for kind in packed])
            self._cut = tf.constant(cut)
            self._counts = tf.constant(counts, tf.int64)
            self._first = tf.cumsum(self._counts, exclusive=True)
            places = [file.places if is_cut else [] for file, is_cut in zip(files, cut, strict=True)]
            self._places = tf.RaggedTensor.from_row_lengths(
                tf.constant([place for row in places for place in row], tf.int64, shape=(sum(map(len, places)), 2)),
                [len(row) for row in places],
            )
        self._any_cut, self._any_packed = any(cut), any(packed)
        self._before = [(file.path, file.frames, {problem.record for problem in file.problems}) for file in files]

    def records(self, index: tf.Tensor) -> tf.data.Dataset:
        """`(number, record)` of one file, in order."""
        path, cut = tf.gather(self._paths, index), tf.gather(self._cut, index)
        packed = tf.gather(self._packed, index)
        none = tf.zeros([0], tf.string)
        plain = tf.data.TFRecordDataset(tf.cond(cut | packed, lambda: none, lambda: path[None]), buffer_size=_BUFFER)
        if self._any_packed:
            unpacked = tf.data.TFRecordDataset(tf.cond(packed, lambda: path[None], lambda: none), "GZIP", _BUFFER)
            plain = plain.concatenate(unpacked)
        records = plain.take(tf.gather(self._counts, index))
        if self._any_cut:
            content = tf.cond(cut, lambda: tf.io.read_file(path), lambda: "")
            pieces = tf.data.Dataset.from_tensor_slices(self._places[index])
            records = records.concatenate(pieces.map(lambda place: tf.strings.substr(content, place[0], place[1])))
        return records.enumerate(tf.gather(self._first, index))

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
        """Key, number and bytes of every record of the split."""
        files = self.files

        def one_pass(key: tf.Tensor) -> tf.data.Dataset:
            order = permutation(key, files.count) if shuffle else tf.range(files.count, dtype=tf.int64)
            in_order = tf.data.Dataset.from_tensor_slices(order)
            if shuffle and files.count > 1:
                records = in_order.interleave(
                    files.records,
                    cycle_length=min(_AT_ONCE, files.count),
                    block_length=_IN_A_ROW,
                    num_parallel_calls=tf.data.AUTOTUNE,
                    deterministic=True,
                )
            else:
                records = in_order.flat_map(files.records)
            if self.size < files.size:
                records = records.filter(lambda number, _: tf.gather(self._mine, number))
            if shuffle and self.size > 1:
                buffer = min(self.shuffle_buffer, self.size)
                records = records.shuffle(buffer, seed=key, reshuffle_each_iteration=False)
            return records.map(lambda number, record: (key, number, record))

        return keys.flat_map(one_pass)

    def _example(self, key: tf.Tensor, number: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, Example]:
        """Seed and example of one record, or of a batch of them."""
        parse = tf.io.parse_example if record.shape.rank else tf.io.parse_single_example
        stored = parse(record, self._stored)
        inputs = {
            name: feature.read(stored[feature.feature or name], self._facts[name](number))
            for name, feature in self.inputs.items()
        }
        return example_seed(key, number), {
            **inputs,
            **{task: tf.gather(values, number) for task, values in self._labels.items()},
        }

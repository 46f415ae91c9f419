"""The records of several TFRecord files, read in a row; what can no longer be read is passed over where it may be."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.lost import Lost
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.frames import compression_of, records_at
from mtl_keras.data.tfrecord.problems import RecordProblem
from mtl_keras.data.tfrecord.scan import ScannedFile, Scanner

# how many records in a row come from one file
_IN_A_ROW = 32
_BUFFER = 2**20


class RecordFiles:
    """The records of several files in a row, numbered from 0 over all files; damaged ones are passed over.

    Args:
        files: What was found in them.
        lost: What takes note of records that can no longer be read; another one stands in for each of them, under the
            number `size`, which has no labels. Default None, for an error. Files that are damaged already need it.
    """

    def __init__(self, files: Sequence[ScannedFile], lost: Lost | None = None):
        counts = [len(file.numbers) for file in files]
        self.size = sum(counts)
        self.count = len(files)
        self.lost = lost
        packed = [compression_of(file.path) for file in files]
        self._starts = np.cumsum([0, *counts])[:-1]
        with tf.device("CPU:0"):
            self._paths = tf.constant([file.path for file in files])
            self._packed = tf.constant(packed) if any(packed) else None
            self._counts = tf.constant(counts, tf.int64)
            self._first = tf.constant(self._starts, tf.int64)
        self._before = [(file.path, file.frames, {problem.record for problem in file.problems}) for file in files]
        if lost is not None:
            self._damaged = [file.damaged for file in files]
            self._numbers = [np.array(file.numbers, np.int64) for file in files]
            self._places = [np.array(file.places, np.int64).reshape(-1, 2) for file in files]
            self._stand_in_row = next(row for row, usable in enumerate(_usable(files)) if usable)
            self._stand_in = self._record(self._stand_in_row)

    def records(self, index: tf.Tensor, mine: tf.Tensor | None = None) -> tf.data.Dataset:
        """`(numbers, records)` of one file in order, some at a time.

        Args:
            index: Of the file.
            mine: Which of the records of all files are wanted, bool [N], default all.
        """
        # a function that is called for each record would cost more than reading it
        first = tf.gather(self._first, index)
        end = first + tf.gather(self._counts, index)
        numbers, records = tf.data.Dataset.range(first, end), self._read(index)
        if mine is None and self.lost is None:  # fewer pairs to make
            return tf.data.Dataset.zip(numbers.batch(_IN_A_ROW), records.batch(_IN_A_ROW))
        numbered = tf.data.Dataset.zip(numbers, records)
        if mine is not None:
            wanted = tf.data.Dataset.from_tensor_slices(mine[first:end])
            both = tf.data.Dataset.zip(wanted, numbered).filter(lambda wanted, numbered: wanted)
            numbered = both.map(lambda wanted, numbered: numbered)
        some = numbered.batch(_IN_A_ROW)
        return some if self.lost is None else some.map(lambda numbers, records: self._whole(index, numbers, records))

    def with_stand_in(self, values: np.ndarray) -> np.ndarray:
        """Values of all records [N, ...], and as row N that of the record that stands in, if any may be lost."""
        return values if self.lost is None else np.concatenate([values, values[self._stand_in_row, None]])

    def changed(self, inputs: Mapping[str, Feature]) -> tuple[str, int | None, str] | None:
        """File, number and what was expected of the first record that is no longer as it was; None where all are.

        Args:
            inputs: `{input: how it is stored}`.
        """
        looked_at = {name: feature.thorough() for name, feature in inputs.items()}
        for path, frames, known in self._before:
            try:
                now = Scanner(looked_at, []).scan(path)
            except ValueError:
                return path, None, "a file that is there"
            for problem in now.problems:
                if problem.record not in known:
                    return path, problem.record, problem.expected
            if now.frames != frames:
                return path, min(now.frames, frames), f"{frames} records"
        return None

    def _read(self, index: tf.Tensor) -> tf.data.Dataset:
        """The records of one file; with `lost`, empty ones without end follow where it is no longer whole."""
        path = tf.gather(self._paths, index)
        packed = "" if self._packed is None else tf.gather(self._packed, index)
        if self.lost is None:
            return tf.data.TFRecordDataset(path, packed, _BUFFER)
        paths, damaged = tf.numpy_function(self._begin, [index], [tf.string, tf.string])
        # TensorFlow's reader stops at damage, if not before
        whole = tf.data.TFRecordDataset(tf.ensure_shape(paths, (None,)), packed, _BUFFER).ignore_errors()
        pieces = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(damaged, (None,)))
        return whole.concatenate(pieces).concatenate(tf.data.Dataset.from_tensors("").repeat())

    def _begin(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The file, if TensorFlow can read it, and its records, if they were damaged before training."""
        path = self._before[index][0]
        if self._damaged[index]:
            return _texts([]), _texts([record or b"" for record, _ in records_at(path, self._places[index])])
        # a file that cannot be opened is an error again and again, without end
        return _texts([path] if _can_be_opened(path) else []), _texts([])

    def _whole(self, index: tf.Tensor, numbers: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Some records of a file, in which empty ones are looked for, and replaced if they cannot be found."""

        def searched() -> list[tf.Tensor]:
            return tf.numpy_function(self._search, [index, numbers, records], [tf.int64, tf.string])

        found = tf.cond(tf.reduce_any(records == ""), searched, lambda: [numbers, records])
        return tf.ensure_shape(found[0], (None,)), tf.ensure_shape(found[1], (None,))

    def _search(self, index: int, numbers: np.ndarray, records: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers, records = numbers.copy(), records.copy()
        missing = np.flatnonzero(records == b"")
        rows = numbers[missing] - self._starts[index]
        for place, row, (record, expected) in zip(missing, rows, self._again(index, rows), strict=True):
            if record is None:
                self._note(index, row, expected)
                numbers[place], record = self.size, self._stand_in
            records[place] = record
        return numbers, records

    def _again(self, index: int, rows: np.ndarray) -> Iterator[tuple[bytes | None, str]]:
        """Records of a file that TensorFlow's reader did not get to, see `records_at`."""
        path = self._before[index][0]
        if compression_of(path):  # nothing behind damage can be found again
            return iter([(None, "a packed file that can be unpacked")] * len(rows))
        return records_at(path, self._places[index][rows])

    def note_lost(self, number: int, expected: str) -> None:
        """Take note of a record that cannot be used any more, by its number over all files."""
        self._note(*self._place(number), expected)

    def _note(self, index: int, row: int, expected: str) -> None:
        assert self.lost is not None
        path = self._before[index][0]
        self.lost.add(path, RecordProblem(path, int(self._numbers[index][row]), "", expected).line())

    def _record(self, number: int) -> bytes:
        index, row = self._place(number)
        return next(records_at(self._before[index][0], [self._places[index][row]]))[0] or b""

    def _place(self, number: int) -> tuple[int, int]:
        """File of a record, and its row there."""
        index = int(np.searchsorted(self._starts, number, side="right")) - 1
        return index, int(number - self._starts[index])


def _usable(files: Sequence[ScannedFile]) -> Iterator[bool]:
    return (usable for file in files for usable in file.usable)


def _texts(values: list[Any]) -> np.ndarray:
    return np.array(values, object)


def _can_be_opened(path: str) -> bool:
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False

"""The one look at every record before training: counted, checksums right, features as they should be, labels kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.frames import Frame, frames
from mtl_keras.data.tfrecord.problems import RecordProblem

_AT_ONCE = 256
# the lists of a feature by the dtype of what they hold
_LISTS = {"int64_list": tf.int64, "float_list": tf.float32, "bytes_list": tf.string}


@dataclass
class ScannedFile:
    """What one file holds: one entry per record whose frame is whole, also where its content cannot be used.

    Attributes:
        path: The file.
        frames: How many records there are, whole or damaged; what lies behind the last readable one is not counted.
        numbers: The records' numbers in the file; gaps are damaged records.
        places: Where each record begins and how long it is.
        usable: Whether it can be used.
        labels: `{feature: values of each record}`, a list or None where there is none.
        facts: `{input: what its feature tells of each record}`.
        problems: Of the records that cannot be used.
        damaged: Whether a frame is wrong: TensorFlow's reader would stop there.
    """

    path: str
    frames: int = 0
    numbers: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    usable: list[bool] = field(default_factory=list)
    labels: dict[str, list[Any]] = field(default_factory=dict)
    facts: dict[str, list[Any]] = field(default_factory=dict)
    problems: list[RecordProblem] = field(default_factory=list)
    damaged: bool = False

    def leave_out(self, row: int, feature: str, expected: str, found: str) -> None:
        """Note that a record cannot be used, by its place among those whose frame is whole."""
        if self.usable[row]:
            self.usable[row] = False
            self.problems.append(RecordProblem(self.path, self.numbers[row], feature, expected, found))


class Scanner:
    """Looks at files, one after the other; what a label feature holds in the first record, it has to hold in all.

    Args:
        inputs: `{input: feature}`.
        labels: Names of the features with labels, and others to be kept.
    """

    def __init__(self, inputs: Mapping[str, Feature], labels: Sequence[str]):
        self.inputs = dict(inputs)
        self.labels = list(dict.fromkeys(labels))
        self._stored = {feature.feature or name: feature.stored for name, feature in inputs.items()}
        # type of the list and number of values by feature, from the first record that has the feature
        self.kept: dict[str, tuple[str, int]] = {}
        # names of the features of the first record that is one
        self.first: list[str] = []

    def scan(self, path: str) -> ScannedFile:
        """Look at one file.

        Raises:
            ValueError: The file cannot be opened.
        """
        found = ScannedFile(path, labels={name: [] for name in self.labels}, facts={name: [] for name in self.inputs})
        waiting: list[bytes] = []
        for frame in frames(path):
            found.frames += 1
            if frame.record is None:
                found.damaged = True
                found.problems.append(RecordProblem(path, frame.number, "", frame.damage, rest=frame.ends))
                continue
            self._take_in(found, frame)
            waiting.append(frame.record)
            if len(waiting) == _AT_ONCE:
                self._parse(found, waiting)
                waiting.clear()
        self._parse(found, waiting)
        found.problems.sort(key=lambda problem: problem.record)
        return found

    def _parse(self, found: ScannedFile, records: list[bytes]) -> None:
        """Let what training uses read the last records taken in: TensorFlow's parser, which is stricter, features."""
        first = len(found.numbers) - len(records)
        rows = [row for row in range(len(records)) if found.usable[first + row]]
        stored = self._parsed([records[row] for row in rows])
        if stored is None:
            damaged = [row for row in rows if self._parsed([records[row]]) is None]
            for row in damaged:
                found.leave_out(first + row, "", "a tf.train.Example", f"{len(records[row])} bytes")
            rows = [row for row in rows if row not in damaged]
            stored = self._parsed([records[row] for row in rows])
        assert stored is not None
        for name, feature in self.inputs.items() if rows else ():
            key = feature.feature or name
            values = stored[key].numpy()
            for place, expected in feature.try_out(values, [found.facts[name][first + row] for row in rows]).items():
                found.leave_out(first + rows[place], key, expected, f"{len(values[place])} bytes")

    def _parsed(self, records: list[bytes]) -> dict[str, tf.Tensor] | None:
        """The stored values of all inputs by feature; None where a record is damaged."""
        if not records:
            return {}
        try:
            return tf.io.parse_example(records, self._stored)
        except tf.errors.InvalidArgumentError:
            return None

    def _take_in(self, found: ScannedFile, frame: Frame) -> None:
        record = frame.record or b""
        found.numbers.append(frame.number)
        found.places.append((frame.offset, len(record)))
        problem, labels, facts = self._look(record)
        for name in self.labels:
            found.labels[name].append(labels.get(name))
        for name, feature in self.inputs.items():
            found.facts[name].append(facts.get(name, feature.no_fact))
        found.usable.append(problem is None)
        if problem is not None:
            found.problems.append(RecordProblem(found.path, frame.number, *problem))

    def _look(self, record: bytes) -> tuple[tuple[str, str, str] | None, dict[str, Any], dict[str, Any]]:
        """The first thing that is wrong (feature, expected, found), labels and facts."""
        labels: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        try:
            features = tf.train.Example.FromString(record).features.feature
        except DecodeError:
            return ("", "a tf.train.Example", f"{len(record)} bytes"), labels, facts
        self.first = self.first or sorted(features)
        for name, feature in self.inputs.items():
            key = feature.feature or name
            kind, values = _values(features, key)
            if expected := _misfit(kind, values, feature.stored):
                return (key, expected, _counted(kind, len(values))), labels, facts
            value = values if feature.stored.shape else values[0]
            facts[name], expected = feature.look(value)
            if expected:
                shown = f"{len(value)} bytes" if isinstance(value, bytes) else _counted(kind, len(values))
                return (key, expected, shown), labels, facts
        for key in self.labels:
            kind, values = _values(features, key)
            if not len(values):
                continue
            first = self.kept.setdefault(key, (kind, len(values)))
            if first != (kind, len(values)):
                expected = f"{_counted(*first)}, as in the records before"
                return (key, expected, _counted(kind, len(values))), {}, facts
            labels[key] = np.asarray(values) if kind != "bytes_list" else list(values)
        return None, labels, facts


def _values(features: Any, key: str) -> tuple[str, Any]:
    """Type of the list and values of a feature; ("", []) where it is absent."""
    if key not in features:
        return "", []
    feature = features[key]
    kind = feature.WhichOneof("kind")
    return (kind, getattr(feature, kind).value) if kind else ("", [])


def _misfit(kind: str, values: Any, wanted: tf.io.FixedLenFeature) -> str:
    """What would have been right, "" where type and number of values are."""
    count = int(np.prod(wanted.shape))
    if kind and _LISTS[kind] == wanted.dtype and len(values) == count:
        return ""
    return _counted(next(name for name, dtype in _LISTS.items() if dtype == wanted.dtype), count)


def _counted(kind: str, count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'} as {kind}" if kind else "nothing"

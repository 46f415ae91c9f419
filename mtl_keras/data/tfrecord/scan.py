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


class Scanner:
    """Looks at files, one after the other; what a label feature holds in the first record, it has to hold in all.

    Args:
        inputs: `{input: feature}`.
        labels: Names of the features with labels, and others to be kept.
    """

    def __init__(self, inputs: Mapping[str, Feature], labels: Sequence[str]):
        self.inputs = dict(inputs)
        self.labels = list(labels)
        self._stored = {feature.feature or name: feature.stored for name, feature in inputs.items()}
        # type of the list and number of values by feature, from the first record that has the feature
        self.kept: dict[str, tuple[str, int]] = {}

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
        """Let TensorFlow's own parser, which training uses and which is stricter, read the last records taken in."""
        first = len(found.numbers) - len(records)
        rows = [row for row in range(len(records)) if found.usable[first + row]]
        if not rows or self._parses([records[row] for row in rows]):
            return
        for row in rows:
            if not self._parses([records[row]]):
                found.usable[first + row] = False
                number = found.numbers[first + row]
                found.problems.append(
                    RecordProblem(found.path, number, "", "a tf.train.Example", f"{len(records[row])} bytes")
                )

    def _parses(self, records: list[bytes]) -> bool:
        try:
            tf.io.parse_example(records, self._stored)
        except tf.errors.InvalidArgumentError:
            return False
        return True

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
        for name, feature in self.inputs.items():
            key = feature.feature or name
            stored = _values(features, key)
            wrong = _misfit(stored, feature.stored)
            if not wrong:
                value = stored[1] if feature.stored.shape else stored[1][0]
                facts[name], wrong = feature.look(value)
            if wrong:
                return (key, wrong, _shown((stored[0], len(stored[1])))), labels, facts
        for key in self.labels:
            kind, values = _values(features, key)
            if not len(values):
                continue
            first = self.kept.setdefault(key, (kind, len(values)))
            if first != (kind, len(values)):
                expected = f"{_shown(first)}, as in the records before"
                return (key, expected, _shown((kind, len(values)))), {}, facts
            labels[key] = np.asarray(values) if kind != "bytes_list" else list(values)
        return None, labels, facts


def _values(features: Any, key: str) -> tuple[str, Any]:
    """Type of the list and values of a feature; ("", []) where it is absent."""
    if key not in features:
        return "", []
    feature = features[key]
    kind = feature.WhichOneof("kind")
    return (kind, getattr(feature, kind).value) if kind else ("", [])


def _misfit(stored: tuple[str, Any], wanted: tf.io.FixedLenFeature) -> str:
    """What would have been right, "" where type and number of values are."""
    kind, values = stored
    count = int(np.prod(wanted.shape))
    if kind and _LISTS[kind] == wanted.dtype and len(values) == count:
        return ""
    return _shown((next(name for name, dtype in _LISTS.items() if dtype == wanted.dtype), count))


def _shown(stored: tuple[str, int]) -> str:
    kind, count = stored
    return f"{count} value{'' if count == 1 else 's'} as {kind}" if kind else "nothing"

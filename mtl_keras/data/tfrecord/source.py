"""TFRecord files as a source."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from glob import glob
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.data.arrays import encode
from mtl_keras.data.columns import Column, refuse_unused, stated_columns
from mtl_keras.data.kinds import LabelKind, NumberKind
from mtl_keras.data.lost import Lost
from mtl_keras.data.order import check_buffer
from mtl_keras.data.problems import check_skip_bad
from mtl_keras.data.source import Source
from mtl_keras.data.splits import NAMES, Splits
from mtl_keras.data.tfrecord.examples import RecordExamples
from mtl_keras.data.tfrecord.features import Feature, stated_feature
from mtl_keras.data.tfrecord.files import RecordFiles
from mtl_keras.data.tfrecord.labels import as_stored
from mtl_keras.data.tfrecord.problems import REPLACE, refuse, shown, write_list
from mtl_keras.data.tfrecord.records import Records
from mtl_keras.data.tfrecord.schema import Schema
from mtl_keras.errors import message

SHUFFLE_BUFFER = 4096
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(.*)")


def from_tfrecord(
    pattern: str | PathLike[str] | Sequence[str] | Mapping[str, Any],
    features: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Column | str | None] | Sequence[str] | None = None,
    splits: Splits | None = None,
    skip_bad: bool | str | PathLike[str] = False,
    shuffle_buffer: int = SHUFFLE_BUFFER,
    seed: int = 0,
) -> Source:
    """A source of TFRecord files of `tf.train.Example`s.

    Every record is read once here: checksums are verified, inputs and labels have to be of the stated type and size,
    labels are kept in memory and vocabularies taken from those of the training split.

    Args:
        pattern: The folder that `write_tfrecord` wrote, and nothing else then; or a path with wildcards, or a list of
            them, or `{"train": ..., "val": ..., "test": ...}`. Files that end in `.gz` are unpacked.
        features: `{input: how it is stored}`: `tfrecord.ImageFile(64)` for encoded images of any size, which become
            64x64; `tf.io.FixedLenFeature` or `tfrecord.Numbers` for numbers, `tfrecord.Raw` for the bytes of arrays.
        tasks: Names of features, `"feature:kind"` texts, or `{task: Column, kind or None}`, as in `from_csv`. Labels
            are whole numbers, floats or texts; several values in one feature, or several features, are one task of
            attributes. A feature that a record lacks, or that is empty, is a missing label: a `Column` takes no
            `missing` here, and no `separator`.
        splits: How to divide the records, unless `pattern` does; default 10 % each for val and test at random. `column`
            and `group` are names of features.
        skip_bad: What happens to records that cannot be used: False (default) for an error that names the first one,
            True to leave them out, or a path: they are left out and listed there. So are those that break while
            training, see `source.lost`.
        shuffle_buffer: How many training records are mixed at a time, default 4,096; they are held in memory as they
            are stored. Records that lie in order of class need files that do not, or a large buffer.
        seed: Seed of the order of the training examples, default 0.

    Returns:
        The source. `source.about` says how many records were read, used and left out and why, and which files could not
        be read to the end, because what follows a damaged length or a cut cannot be found.

    Raises:
        ValueError: There is no such file, a file of a numbered row is missing, or (unless `skip_bad`) a record is not
            as it should be; a task has no label in a split.

    Example:
        >>> import tempfile, tensorflow as tf, mtl_keras as mtl
        >>> file = tempfile.NamedTemporaryFile(suffix=".tfrecord")
        >>> with tf.io.TFRecordWriter(file.name) as writer:
        ...     for number in range(20):
        ...         example = tf.train.Example()
        ...         example.features.feature["x"].float_list.value.extend([number, 1.0])
        ...         example.features.feature["colour"].bytes_list.value.append(b"red" if number % 2 else b"blue")
        ...         writer.write(example.SerializeToString())
        >>> source = mtl.data.from_tfrecord(file.name, {"x": tf.io.FixedLenFeature([2], tf.float32)}, ["colour"])
        >>> source.sizes, source.kinds["colour"].names
        ({'train': 16, 'val': 2, 'test': 2}, ('blue', 'red'))
    """
    check_buffer(shuffle_buffer)
    check_skip_bad(skip_bad)
    if isinstance(pattern, (str, PathLike)) and Path(pattern).is_dir():
        schema: Schema | None = Schema.read(pattern)
        assert schema is not None
        if features is not None or tasks is not None or splits is not None:
            raise ValueError(
                message("the folder alone, which says what it holds", "leave the rest out", folder=fspath(pattern))
            )
        paths = {split: [fspath(Path(pattern, name)) for name in names] for split, names in schema.files.items()}
        inputs: Mapping[str, Feature] = schema.inputs
        columns = {task: _column(kind) for task, kind in schema.kinds.items()}
    else:
        schema = None
        if not features or not tasks:
            raise ValueError(
                message(
                    "features and tasks, or a folder that write_tfrecord wrote",
                    'pass e.g. features={"image": tfrecord.ImageFile(64)}, tasks=["label"]',
                    features=features,
                    tasks=tasks,
                )
            )
        if not isinstance(features, Mapping):
            do = 'pass e.g. features={"image": tfrecord.ImageFile(64)}'
            raise ValueError(message("a dict by input of how each is stored", do, features=features))
        paths = _paths(pattern)
        inputs = {name: stated_feature(name, feature) for name, feature in features.items()}
        columns = stated_columns(tasks)
        refuse_unused(columns, ("kind", "columns", "names", "low", "high", "unit"))
    splits = Splits.of(splits)
    records = Records(paths, inputs, columns, [name for name in (splits.column, splits.group) if name is not None])
    if schema is not None:
        records.check_counts({name: count for files in schema.files.values() for name, count in files.items()})
    remedy = REPLACE if schema else _remedy(records)
    if not skip_bad:
        refuse(records.problems, remedy)
    elif not isinstance(skip_bad, bool):
        write_list(records.problems, skip_bad)
    lost = Lost.of(skip_bad)
    if not records.usable.any():
        refuse(records.problems, remedy)
        raise ValueError(message("at least one record", "give files that hold some", files=list(paths.values())))
    return _source(records, inputs, schema, splits, shuffle_buffer, seed, lost)


def _source(
    records: Records,
    inputs: Mapping[str, Feature],
    schema: Schema | None,
    splits: Splits,
    buffer: int,
    seed: int,
    lost: Lost | None,
) -> Source:
    ids = records.split_ids(splits)
    training = (ids == NAMES.index("train")) & records.usable
    kinds: dict[str, LabelKind] = {}
    encoded: dict[str, np.ndarray] = {}
    unseen: dict[str, int] = {}
    for task, column in records.columns.items():
        labels = records.labels(task)
        if schema is None:
            several = column.columns if column.columns and len(column.columns) > 1 else None
            where = {
                "feature": ", ".join(column.columns or (task,)),
                "files": shown(file.path for file in records.files),
            }
            made = encode(task, labels, column.kind or "number", column.names or several, training, where)
            kinds[task], encoded[task], unseen[task] = made
            if isinstance(kinds[task], NumberKind):
                kinds[task] = replace(kinds[task], unit=column.unit)  # type: ignore[call-arg]
        else:
            kinds[task] = schema.kinds[task]
            encoded[task] = as_stored(kinds[task], labels)
    examples = {}
    for index, split in enumerate(NAMES):
        files = np.unique(records.file_of[ids == index])
        if len(files):
            rows = np.isin(records.file_of, files)
            examples[split] = RecordExamples(
                RecordFiles([records.files[number] for number in files], lost),
                inputs,
                {name: values[rows] for name, values in records.facts().items()},
                {task: values[rows] for task, values in encoded.items()},
                ids[rows] == index,
                buffer,
            )
    before = schema.before if schema else {name: feature.before for name, feature in inputs.items() if feature.before}
    specs = {name: feature.spec for name, feature in inputs.items()}
    about = {**records.about(), "unseen": {task: count for task, count in unseen.items() if count}}
    return Source(examples, kinds, specs, before, seed, about)


def _remedy(records: Records) -> str | None:
    """What to do about what is wrong in every record, and so stated wrongly rather than stored so; else None."""
    wrong = {problem.feature for problem in records.problems}
    if records.usable.any() or len(wrong) != 1 or "" in wrong:
        return None
    argument = "features" if wrong <= records.inputs_features else "tasks"
    return f"correct what {argument}= says of the feature, which no record fits"


def _column(kind: LabelKind) -> Column:
    """What labels of this kind have to be."""
    return Column(kind=kind.kind, names=getattr(kind, "names", None))


def _paths(pattern: Any) -> dict[str, list[str]]:
    """`{split: files}` from what a user may pass; the split "" is to be divided."""
    if not isinstance(pattern, Mapping):
        pattern = {"": pattern}
    elif not pattern or any(split not in NAMES for split in pattern):
        raise ValueError(message(f"splits among {list(NAMES)}", "correct the keys", splits=list(pattern)))
    found = {split: _found(patterns) for split, patterns in pattern.items()}
    _refuse_gaps([path for files in found.values() for path, by_name in files.items() if not by_name])
    return {split: list(files) for split, files in found.items()}


def _found(patterns: Any) -> dict[str, bool]:
    """Files behind one pattern or several, in order, and whether each was called by its name."""
    found: dict[str, bool] = {}
    patterns = [patterns] if isinstance(patterns, (str, PathLike)) else patterns
    if not isinstance(patterns, Sequence) or not all(isinstance(given, (str, PathLike)) for given in patterns):
        do = "pass e.g. 'photos-*.tfrecord', or {'train': 'train-*', 'val': 'val-*'}"
        raise ValueError(message("a path, a list of paths, or a dict of them by split", do, pattern=patterns))
    for given in patterns:
        pattern = fspath(given)
        by_name = Path(pattern).is_file()
        matching = [pattern] if by_name else sorted(path for path in glob(pattern) if Path(path).is_file())
        if not matching:
            raise ValueError(message("TFRecord files", "correct the pattern", pattern=pattern, files=0))
        found |= {path: by_name for path in matching if path not in found}
    return found


def _refuse_gaps(paths: Sequence[str]) -> None:
    """Rows of numbered files that a pattern stands for have to be whole."""
    rows: dict[tuple[str, ...], set[int]] = {}
    for path in paths:
        if numbered := _SHARD.fullmatch(path):
            rows.setdefault((numbered[1], numbered[3], numbered[4]), set()).add(int(numbered[2]))
    for (start, count, end), numbers in rows.items():
        missing = sorted(set(range(int(count))) - numbers)
        if missing:
            raise ValueError(
                message(
                    f"all {int(count)} files of the row",
                    "add the file, or pass a list of those that are to be read",
                    missing=f"{start}-{missing[0]:05d}-of-{count}{end}",
                    found=len(numbers),
                )
            )

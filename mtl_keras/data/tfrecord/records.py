"""All records of all files: labels, facts and problems, one entry per record whose frame is whole."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtl_keras.data.columns import Column
from mtl_keras.data.splits import NAMES, Splits, split_names
from mtl_keras.data.tfrecord.features import Feature
from mtl_keras.data.tfrecord.labels import as_array, inferred_kind, misfits
from mtl_keras.data.tfrecord.problems import RecordProblem, count_by_reason, shown
from mtl_keras.data.tfrecord.scan import Scanner
from mtl_keras.errors import message

_LABEL = "correct the label or what tasks= says of it, or skip bad records"


class Records:
    """What lies in some files, looked at once.

    Args:
        paths: `{split: files}`; the split "" is to be divided record by record.
        inputs: `{input: how it is stored}`.
        columns: `{task: what is stated of its labels}`.
        beside: Other features to keep.

    Attributes:
        files: What each file holds.
        file_of: Index of each record's file, int64 [N].
        usable: Which records can be used, bool [N].
        problems: Of those that cannot.
    """

    def __init__(
        self,
        paths: Mapping[str, Sequence[str]],
        inputs: Mapping[str, Feature],
        columns: Mapping[str, Column],
        beside: Sequence[str] = (),
    ):
        self.inputs, self.columns = dict(inputs), dict(columns)
        wanted = [name for task, column in columns.items() for name in column.columns or (task,)]
        scanner = Scanner(inputs, [*wanted, *beside])
        self.files = [scanner.scan(path) for files in paths.values() for path in files]
        uses = dict.fromkeys(beside, "to divide them by")
        for task, column in columns.items():
            uses |= dict.fromkeys(column.columns or (task,), f"with labels of task {task!r}")
        for name, use in uses.items():
            if name not in scanner.kept and any(any(file.usable) for file in self.files):
                files = shown(file.path for file in self.files)
                do = f"correct the name; the first record has {scanner.first}"
                raise ValueError(message(f"a feature that records have, {use}", do, feature=name, files=files))
        self._split_of_file = np.array([split for split, files in paths.items() for _ in files], object)
        counts = [len(file.numbers) for file in self.files]
        self.file_of = np.repeat(np.arange(len(counts)), counts)
        self.usable = np.array([usable for file in self.files for usable in file.usable], bool)
        self.problems = [problem for file in self.files for problem in file.problems]
        self._labels = {task: self._joined(task, column) for task, column in columns.items()}
        for task, column in columns.items():
            if column.kind is None:
                stored = scanner.kept.get((column.columns or (task,))[0], ("", 0))[0]
                kind = inferred_kind(stored, self._labels[task][self.usable])
                self.columns[task] = replace(column, kind=kind)
        self._refuse_misfits()

    @property
    def inputs_features(self) -> set[str]:
        """Names of the features that hold inputs."""
        return {feature.feature or name for name, feature in self.inputs.items()}

    def labels(self, task: str) -> np.ndarray:
        """The labels of a task, see `as_array`; records that cannot be used have none."""
        labels = self._labels[task]
        nothing = "" if labels.dtype == object else np.nan
        return np.where(self.usable.reshape(-1, *[1] * (labels.ndim - 1)), labels, nothing)

    def facts(self) -> dict[str, np.ndarray]:
        """`{input: what its feature told of each record}`."""
        return {name: np.array([fact for file in self.files for fact in file.facts[name]]) for name in self.inputs}

    def kept(self, name: str) -> np.ndarray:
        """The values of any feature that was kept, see `as_array`."""
        return as_array([values for file in self.files for values in file.labels[name]])

    def check_counts(self, written: Mapping[str, int]) -> None:
        """Find files with fewer or more records than were written, which nothing in the file itself tells.

        Args:
            written: `{file name: number of records}`.
        """
        for file in self.files:
            expected = written[Path(file.path).name]
            if file.frames != expected and not any(problem.rest for problem in file.problems):
                found = f"{file.frames} records"
                self.problems.append(
                    RecordProblem(file.path, min(file.frames, expected), "", f"{expected} records", found, rest=True)
                )

    def split_ids(self, splits: Splits) -> np.ndarray:
        """Index of the split of each record, int8 [N]; -1 for records that cannot be used."""
        ids = np.full(len(self.usable), -1, np.int8)
        for index, split in enumerate(NAMES):
            ids[self._split_of_file[self.file_of] == split] = index
        rows = np.flatnonzero(self.usable & (self._split_of_file[self.file_of] == ""))
        if len(rows):
            ids[rows] = self._divided(splits, rows)
        return np.where(self.usable, ids, np.int8(-1))

    def about(self) -> dict[str, Any]:
        """Counts for `Source.about`: every record that was read is either used or left out."""
        return {
            "files": [file.path for file in self.files],
            "records": sum(file.frames for file in self.files),
            "used": int(self.usable.sum()),
            "left_out": sum(file.frames for file in self.files) - int(self.usable.sum()),
            "left_out_because": count_by_reason(self.problems),
            "not_read_to_the_end": sorted({problem.file for problem in self.problems if problem.rest}),
        }

    def _joined(self, task: str, column: Column) -> np.ndarray:
        """The labels of one feature, or of several side by side."""
        names = column.columns or (task,)
        parts = [self.kept(name) for name in names]
        if len(parts) == 1:
            return parts[0]
        for name, part in zip(names, parts, strict=True):
            if part.dtype == object or part.ndim > 1:
                raise ValueError(
                    message(f"one number in each feature of task {task!r}", "name the features apart", feature=name)
                )
        return np.stack(parts, axis=1)

    def _refuse_misfits(self) -> None:
        for task, column in self.columns.items():
            rows = np.flatnonzero(self.usable)
            if not len(rows):
                return
            wrong, expected = misfits(self._labels[task][rows], column)
            for row in rows[wrong]:
                feature = ", ".join(column.columns or (task,))
                shown = str(self._labels[task][row])[:80]
                self.problems.append(RecordProblem(*self._place(row), feature, expected, shown, do=_LABEL))
            self.usable[rows[wrong]] = False

    def _divided(self, splits: Splits, rows: np.ndarray) -> np.ndarray:
        if splits.column is not None:
            return self._named(splits.column, rows)
        groups = None if splits.group is None else self.kept(splits.group)[rows].astype(str)
        strata = None
        if splits.stratify is not None:
            if splits.stratify not in self.columns or self._labels[splits.stratify].ndim > 1:
                raise ValueError(
                    message("a task with one class per record to stratify by", "choose another", task=splits.stratify)
                )
            strata = np.unique(self._labels[splits.stratify][rows].astype(str), return_inverse=True)[1].ravel()
        return splits.assign(len(rows), groups, strata)

    def _named(self, column: str, rows: np.ndarray) -> np.ndarray:
        values = [str(value) for value in self.kept(column)[rows]]
        ids = split_names(values)
        if (ids < 0).any():
            place = int(np.flatnonzero(ids < 0)[0])
            file, number = self._place(rows[place])
            raise ValueError(
                message(
                    "'train', 'val' or 'test' in the feature that names the split",
                    "correct the record",
                    file=file,
                    record=number,
                    feature=column,
                    value=values[place],
                )
            )
        return ids

    def _place(self, row: int) -> tuple[str, int]:
        """File of a record, and its number there."""
        index = self.file_of[row]
        file = self.files[index]
        return file.path, file.numbers[row - int(np.searchsorted(self.file_of, index))]

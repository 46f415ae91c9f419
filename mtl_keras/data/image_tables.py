"""A table of image paths and labels as a source: what CSV files and folders have in common."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from os import PathLike, fspath
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.columns import Column
from mtl_keras.data.decoding import ImageDecoder
from mtl_keras.data.examples import Examples
from mtl_keras.data.image_files import FileExamples, ImageFiles, Progress, StoredExamples, decode_all, read_headers
from mtl_keras.data.kinds import LabelKind
from mtl_keras.data.label_columns import LabelColumn
from mtl_keras.data.label_reading import read_labels
from mtl_keras.data.lost import Lost
from mtl_keras.data.paths import MISSING, Root
from mtl_keras.data.pixel_store import MEMORY, PixelStore
from mtl_keras.data.problems import Problem, Problems, check_skip_bad, shortened
from mtl_keras.data.room import free_memory
from mtl_keras.data.source import Source
from mtl_keras.data.splits import NAMES, Splits, split_names
from mtl_keras.data.table import Table, TableColumn
from mtl_keras.errors import message
from mtl_keras.images import ImageFormat, ImageHeader

CHECKS = ("paths", "headers", "pixels")
AUTO = "auto"
UNSEEN_SHOWN = 20


@dataclass(frozen=True)
class Reading:
    """How a table becomes a source; the attributes are those of `from_csv`."""

    image: str
    columns: Mapping[str, Column]
    root: str | PathLike[str]
    image_format: ImageFormat
    splits: Splits
    check: str
    skip_bad: bool | str | PathLike[str]
    cache: str | PathLike[str] | None
    seed: int
    input_name: str
    progress: Progress | None

    def __post_init__(self) -> None:
        if self.check not in CHECKS:
            raise ValueError(message(f"a check among {list(CHECKS)}", "choose one", check=self.check))
        check_skip_bad(self.skip_bad)

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        beside = [name for name in (self.splits.column, self.splits.group) if name is not None]
        return [
            self.image,
            *(name for task, column in self.columns.items() for name in column.columns or (task,)),
            *beside,
        ]

    def source(self, table: Table, problems: Problems) -> Source:
        """The source of a table, whose problems so far are these.

        Raises:
            ValueError: As `from_csv`.
        """
        labels = {task: read_labels(task, column, table, problems) for task, column in self.columns.items()}
        if self.splits.column is not None:
            problems.extend(_split_problems(table, self.splits.column))
        images = _Images(table, self.image, Root(self.root), self.image_format, Lost.of(self.skip_bad))
        images.check(problems, "pixels" if self.cache is not None else self.check, self.cache, self.progress)
        if not self.skip_bad:
            problems.refuse()
        elif not isinstance(self.skip_bad, bool):
            problems.write(self.skip_bad)
        about = _about(table, problems, fspath(self.root))
        keep = ~np.isin(table.rows, problems.rows)
        if not keep.any():
            problems.refuse()
        if not keep.all():
            table = table.chosen(keep)
            labels = {task: column.chosen(keep) for task, column in labels.items()}
        return self._source(table, labels, images, about)

    def _source(
        self, table: Table, labels: Mapping[str, LabelColumn], images: "_Images", about: dict[str, Any]
    ) -> Source:
        ids = _split_ids(self.splits, table, labels)
        kinds: dict[str, LabelKind] = {}
        encoded: dict[str, np.ndarray] = {}
        unseen: dict[str, dict[str, int]] = {}
        for task, column in labels.items():
            _check_labelled(task, column, ids)
            kinds[task], encoded[task], values = column.fit(ids == NAMES.index("train"))
            if values:
                unseen[task] = dict(values.most_common(UNSEEN_SHOWN))
                _check_seen(task, column, kinds[task].known(encoded[task]), ids, unseen[task])
        codes = table.column(self.image).codes
        examples = {}
        for index, name in enumerate(NAMES):
            own = {task: values[ids == index] for task, values in encoded.items()}
            examples[name] = images.examples(codes[ids == index], table.rows[ids == index], own, self.input_name)
        before = {self.input_name: images.decoder.before}
        specs = {self.input_name: tf.TensorSpec(self.image_format.shape, tf.uint8)}
        about = {**about, "unseen": unseen, "files_in_several_splits": _in_several(images.index_of[codes], ids)}
        return Source(examples, kinds, specs, before, self.seed, about)


def _check_labelled(task: str, column: LabelColumn, ids: np.ndarray) -> None:
    for index, split in enumerate(NAMES):
        if (ids == index).any() and not column.labelled[ids == index].any():
            expected = f"a label of task {task!r} in every split that has rows"
            do = "label some, divide the rows in another way, or leave the task out"
            raise ValueError(message(expected, do, **column.place, split=split, labels=0))


def _check_seen(task: str, column: LabelColumn, known: np.ndarray, ids: np.ndarray, unseen: dict[str, int]) -> None:
    for index, split in enumerate(NAMES):
        if (ids == index).any() and not known[ids == index].any():
            expected = f"a label of task {task!r} that training has seen in every split that has rows"
            do = "label more, divide the rows in another way, or leave the task out"
            raise ValueError(message(expected, do, **column.place, split=split, unseen=unseen))


class _Images:
    """The files of one column: each different path is looked at once, however many rows name it."""

    def __init__(self, table: Table, name: str, root: Root, image_format: ImageFormat, lost: Lost | None):
        self.table, self.column, self.root, self.lost = table, table.column(name), root, lost
        self.decoder = ImageDecoder(image_format)
        self.files: ImageFiles | None = None
        self.store: PixelStore | None = None
        # index into the files by code of the column, -1 for paths that cannot be used
        self.index_of = np.full(len(self.column.texts), -1, np.int64)

    def check(
        self, problems: Problems, check: str, cache: str | PathLike[str] | None, progress: Progress | None
    ) -> None:
        found = self.root.find_all(self.column.texts)
        headers: list[ImageHeader | str | None] = []
        wrong = dict(found.wrong)
        if check != "paths":
            headers = list(read_headers(self.root.folder, found, progress=progress))
            wrong = {code: header for code, header in enumerate(headers) if isinstance(header, str)}
        usable = np.ones(len(found), bool)
        usable[list(wrong)] = False
        good = np.flatnonzero(usable)
        self.index_of[good] = np.arange(len(good))
        kept = (header for header in headers if isinstance(header, ImageHeader)) if headers else repeat(None, len(good))
        files = found.chosen(good)
        self.files = ImageFiles(self.root.folder, files.paths, self.decoder, kept)
        if cache is not None and not (cache == AUTO and len(good) * math.prod(self.decoder.format.shape) > _small()):
            place = MEMORY if cache == AUTO else cache
            self.store = PixelStore(place, len(good), self.decoder.format.shape, [self.decoder.format, files.key()])
        if check == "pixels":
            wrong |= {int(good[index]): text for index, text in decode_all(self.files, self.store, progress).items()}
        do = "correct the path or the file, or skip bad rows"
        if set(found.wrong.values()) == {MISSING} and len(found.wrong) == len(found):
            do = "pass the folder that the paths start from as root"
        for index in np.flatnonzero(np.isin(self.column.codes, list(wrong))).tolist():
            code = int(self.column.codes[index])
            problems.add(self._problem(int(self.table.rows[index]), code, wrong[code], do))

    def examples(
        self, codes: np.ndarray, rows: np.ndarray, labels: Mapping[str, np.ndarray], input_name: str
    ) -> Examples:
        which = self.index_of[codes]
        if self.store is not None:
            return StoredExamples(self.store, which, labels, input_name)

        def problem(number: int, expected: str) -> Problem:
            return self._problem(int(rows[number]), int(codes[number]), expected, "restore the file")

        assert self.files is not None
        return FileExamples(self.files, which, labels, input_name, self.lost, problem)

    def _problem(self, row: int, code: int, expected: str, do: str) -> Problem:
        """What is wrong with the file that a row names."""
        path = shortened(self.column.texts[code])
        return Problem(row, self.column.name, path, f"{expected} (below {self.root.folder})", do)


def _in_several(files: np.ndarray, ids: np.ndarray) -> int:
    """How many files have rows in more than one split."""
    seen = np.zeros((len(NAMES), files.max(initial=-1) + 1), bool)
    seen[ids, files] = True
    return int((seen.sum(axis=0) > 1).sum())


def _small() -> float:
    """Bytes that nobody misses: a quarter of the memory that is free."""
    return 0.25 * (free_memory() or 0)


def _split_problems(table: Table, name: str) -> list[Problem]:
    column = table.column(name)
    ids = split_names(column.texts)
    return [
        Problem(int(row), name, shortened(column.texts[code]), "'train', 'val' or 'test'")
        for row, code in zip(table.rows.tolist(), column.codes.tolist(), strict=True)
        if ids[code] < 0
    ]


def _split_ids(splits: Splits, table: Table, labels: Mapping[str, LabelColumn]) -> np.ndarray:
    if splits.column is not None:
        column = table.column(splits.column)
        return split_names(column.texts)[column.codes]
    groups = None if splits.group is None else _alike(table.column(splits.group))
    strata = None
    if splits.stratify is not None:
        strata = labels[splits.stratify].strata if splits.stratify in labels else None
        if strata is None:
            raise ValueError(
                message("a task of kind 'class' or 'ordinal' to stratify by", "choose another", task=splits.stratify)
            )
    return splits.assign(len(table), groups, strata)


def _alike(column: TableColumn) -> np.ndarray:
    """The same number for all rows with the same text, spaces around it aside; int [N]."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(text.strip(), len(known)) for text in column.texts])[column.codes]


def _about(table: Table, problems: Problems, root: str) -> dict[str, Any]:
    return {
        "file": table.file,
        "root": root,
        "rows": table.read,
        "used": table.read - len(problems),
        "left_out": len(problems),
        "left_out_because": problems.count_by_reason(),
    }

"""Arrays in memory as a source."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.examples import ArrayExamples
from mtl_keras.data.kinds import ClassKind, LabelKind, MultiLabelKind, NumberKind, OrdinalKind, kind_named
from mtl_keras.data.source import Source
from mtl_keras.data.splits import NAMES, Splits, split_names
from mtl_keras.errors import message


def from_arrays(
    x: Any,
    y: Mapping[str, Any],
    kinds: Mapping[str, str] | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
    splits: Splits | None = None,
    columns: Mapping[str, Any] | None = None,
    seed: int = 0,
    input_name: str = "image",
) -> Source:
    """A source of arrays.

    Args:
        x: Inputs, an array [N, ...], or `{input: array}` for several. uint8 is taken for pixels and multiplied with
            1 / 255 in batches; floats are taken as they are and must be finite.
        y: `{task: labels [N] or [N, A]}`; missing are NaN, None, -1 (class ids) and "" (texts).
        kinds: `{task: "class" | "multilabel" | "number" | "ordinal"}` where the kind shall not be inferred. Inferred
            are: texts, whole numbers and bools [N] as classes, 0 and 1 [N, A] as attributes, all else as numbers.
        names: `{task: names}` of classes in the order of their ids, or of attributes. For texts default the sorted
            values of the training split, for ids "0", "1", ... up to the largest one there.
        splits: How to divide the examples, default 10 % each for val and test at random.
        columns: Arrays [N] that `splits` refers to by `column` or `group`.
        seed: Seed of the order of the training examples, default 0.
        input_name: Name of the input where `x` is one array, default `"image"`.

    Returns:
        The source. `source.about["unseen"]` counts, by task, labels outside the vocabulary, which count as missing.

    Raises:
        ValueError: Arrays differ in length, an input is not finite, labels do not fit their kind, or a task has no
            label in a split.

    Example:
        >>> import numpy as np
        >>> source = from_arrays(np.zeros((10, 4), "float32"), {"sex": np.arange(10) % 2}, input_name="x")
        >>> source.kinds["sex"].names, source.label_counts("train")
        (('0', '1'), {'sex': 8})
    """
    inputs = {name: np.asarray(values) for name, values in (x if isinstance(x, Mapping) else {input_name: x}).items()}
    if not isinstance(y, Mapping) or not y:
        raise ValueError(message("labels by task", "pass {task: labels}", y=type(y).__name__))
    labels = {task: _as_array(task, values) for task, values in y.items()}
    for task in (*(kinds or {}), *(names or {})):
        if task not in labels:
            raise ValueError(message(f"kinds and names of tasks among {list(labels)}", "correct the name", task=task))
    columns = {name: np.asarray(values) for name, values in (columns or {}).items()}
    count = _checked_length({**inputs, **labels, **columns})
    for name, values in inputs.items():
        _check_finite(name, values)
    splits = Splits.of(splits)
    ids = _split(splits, count, columns, labels)
    made: dict[str, LabelKind] = {}
    encoded: dict[str, np.ndarray] = {}
    unseen: dict[str, int] = {}
    for task, values in labels.items():
        kind = (kinds or {}).get(task) or infer_kind(values)
        kind_named(kind, task)
        given = (names or {}).get(task)
        made[task], encoded[task], unseen[task] = encode(task, values, kind, given, ids == 0)
    examples = {
        split: ArrayExamples(
            {name: values[ids == index] for name, values in inputs.items()},
            {task: values[ids == index] for task, values in encoded.items()},
        )
        for index, split in enumerate(NAMES)
    }
    specs = {name: tf.TensorSpec(values.shape[1:], values.dtype) for name, values in inputs.items()}
    before = {
        name: {"scale": 1 / 255, "pixels": "0..255"} for name, values in inputs.items() if values.dtype == np.uint8
    }
    return Source(examples, made, specs, before, seed, {"unseen": {t: n for t, n in unseen.items() if n}})


def infer_kind(values: np.ndarray) -> str:
    """The kind that labels of this dtype and shape most likely are, see `from_arrays`."""
    if values.dtype.kind in "OUS" or (values.dtype.kind in "iub" and values.ndim == 1):
        return "class"
    if values.ndim == 2 and np.isin(values[~np.isnan(values.astype("float64"))], (0, 1)).all():
        return "multilabel"
    return "number"


def _split(splits: Splits, count: int, columns: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Any:
    def column(name: str) -> np.ndarray:
        if name not in columns:
            raise ValueError(message(f"a column among {list(columns)}", "pass columns={...}", column=name))
        return columns[name]

    if splits.column is not None:
        ids = split_names([str(value) for value in column(splits.column)])
        if (ids < 0).any():
            row = int(np.flatnonzero(ids < 0)[0])
            raise ValueError(
                message(
                    f"'train', 'val' or 'test' in column {splits.column!r}",
                    "correct it",
                    row=row,
                    value=str(column(splits.column)[row]),
                )
            )
        return ids
    groups = None if splits.group is None else column(splits.group)
    strata = None
    if splits.stratify is not None:
        if splits.stratify not in labels or labels[splits.stratify].ndim != 1:
            raise ValueError(
                message("a task with one class per example to stratify by", "choose another", task=splits.stratify)
            )
        values = labels[splits.stratify]
        strata = np.unique(values.astype(str), return_inverse=True)[1].ravel()
    return splits.assign(count, groups, strata)


def encode(
    task: str,
    values: np.ndarray,
    kind: str,
    names: Sequence[str] | None,
    training: np.ndarray,
    where: Mapping[str, Any] | None = None,
) -> tuple[LabelKind, np.ndarray, int]:
    """The kind, the labels as the kind stores them, and how many labels are outside the vocabulary.

    `where` says in errors where the labels lie, by name.
    """
    if values.ndim > 2:
        raise ValueError(message(f"labels [N] or [N, A] for task {task!r}", "reshape", shape=values.shape))
    if kind in ("class", "ordinal"):
        if values.ndim != 1:
            raise ValueError(message(f"labels [N] for task {task!r} of kind {kind!r}", "reshape", shape=values.shape))
        texts = values.dtype.kind in "OUS"
        if texts and kind == "ordinal" and names is None:
            expected = f"the order of the labels of task {task!r}, from lowest to highest"
            raise ValueError(message(expected, f"pass names={{{task!r}: [...]}}", names=None))
        ids, vocabulary = (_text_ids if texts else _number_ids)(task, values, names, training)
        if len(vocabulary) < 2:
            expected = f"at least two different labels of task {task!r} to train on"
            do = "leave the task out, or add examples of another class"
            raise ValueError(message(expected, do, **(where or {}), labels=vocabulary))
        known = ids < len(vocabulary)
        made: LabelKind = (OrdinalKind if kind == "ordinal" else ClassKind)(tuple(vocabulary))
        return made, np.where(known, ids, -1).astype(np.int32), int((~known).sum())
    numbers = _numbers(task, values)
    if kind == "multilabel":
        table = numbers.reshape(len(numbers), -1)
        if names is not None and len(names) != table.shape[1]:
            expected = f"a name for each of the {table.shape[1]} attributes of task {task!r}"
            raise ValueError(message(expected, "correct the names", **(where or {}), names=list(names)))
        _refuse(task, table, ~np.isin(table, (0, 1)) & ~np.isnan(table), "0 or 1, or NaN where missing")
        return MultiLabelKind(tuple(names or map(str, range(table.shape[1])))), table, 0
    _refuse(task, numbers, np.isinf(numbers), "finite numbers, or NaN where missing")
    if np.isnan(numbers[training]).all():
        expected, do = f"a label of task {task!r} to train on", "label some, or leave it out"
        raise ValueError(message(expected, do, **(where or {}), labels=0))
    return NumberKind.of(numbers[training]), numbers, 0


def _text_ids(
    task: str, values: np.ndarray, names: Sequence[str] | None, training: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    texts = np.array(["" if v is None or v != v else str(v) for v in values.tolist()], object)
    vocabulary = list(names) if names is not None else sorted({text for text in texts[training] if text})
    ids = {text: index for index, text in enumerate(vocabulary)} | {"": -1}
    return np.array([ids.get(text, len(vocabulary)) for text in texts], np.int64), vocabulary


def _number_ids(
    task: str, values: np.ndarray, names: Sequence[str] | None, training: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    numbers = np.nan_to_num(_numbers(task, values), nan=-1.0)
    _refuse(task, numbers, (numbers < -1) | (numbers != np.floor(numbers)), "class ids from 0, or -1 where missing")
    count = len(names) if names is not None else int(numbers[training].max(initial=-1)) + 1
    if names is not None:
        _refuse(task, numbers, numbers >= count, f"class ids from 0 to {count - 1}, or -1 where missing")
    return numbers.astype(np.int64), list(names) if names is not None else [str(index) for index in range(count)]


def _numbers(task: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iufb":
        raise ValueError(message(f"numbers as labels of task {task!r}", "convert them", dtype=str(values.dtype)))
    return values.astype(np.float32)


def _refuse(task: str, values: np.ndarray, wrong: np.ndarray, expected: str) -> None:
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            message(
                f"labels of task {task!r}: {expected}",
                "correct the label",
                row=where[0],
                value=values[where].item(),
                count=int(wrong.sum()),
            )
        )


def _as_array(task: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        expected = f"as many labels of task {task!r} for every example"
        raise ValueError(message(expected, "give 0s and 1s for attributes", error=str(error)[:80])) from error
    if array.dtype.kind in "USO":
        return np.array(values, object)
    return array


def _checked_length(arrays: Mapping[str, np.ndarray]) -> int:
    lengths = {name: len(values) if values.ndim else 0 for name, values in arrays.items()}
    if len(set(lengths.values())) != 1 or not all(lengths.values()):
        raise ValueError(message("at least one example, as many in every array", "check the arrays", lengths=lengths))
    return next(iter(lengths.values()))


def _check_finite(name: str, values: np.ndarray) -> None:
    if values.dtype.kind not in "iufb":
        raise ValueError(message(f"numbers in input {name!r}", "encode them", dtype=str(values.dtype)))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        raise ValueError(
            message(
                f"finite values in input {name!r}", "correct or drop the rows", first_row=int(rows[0]), rows=rows.size
            )
        )

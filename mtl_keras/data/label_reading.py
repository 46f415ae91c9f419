"""Reading the labels of a task: every cell becomes a label, a missing label or a problem.

Vocabulary and scale are not decided here: `LabelColumn.fit` takes them from the training rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mtl_keras.data.columns import Column
from mtl_keras.data.kinds import ClassKind, OrdinalKind
from mtl_keras.data.label_columns import ClassColumn, FlagColumn, LabelColumn, NumberColumn, TagColumn
from mtl_keras.data.looks import Look, as_number, first_row, is_missing, look_at
from mtl_keras.data.problems import CORRECT, Problem, Problems, shortened
from mtl_keras.data.table import Table, TableColumn
from mtl_keras.errors import message

LONGEST_NAME = 200  # characters of a label; longer ones are what a lost quotation mark leaves
_NAMES = "correct the row or the names, or skip bad rows"
_FLAGS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "no": 0.0, "yes": 1.0, "false": 0.0, "true": 1.0}


def read_labels(task: str, stated: Column, table: Table, problems: Problems) -> LabelColumn:
    """Read the labels of one task; cells that are no labels become problems.

    Raises:
        ValueError: The column looks like no kind of labels, and none is stated.
    """
    names = stated.columns or (task,)
    columns = [table.column(name) for name in names]
    place = {"file": table.file, "column": ", ".join(names)}
    if len(columns) > 1:
        flags = [
            _read(column, table, problems, stated.missing, _FLAGS.get, "0 or 1, or an empty cell", np.nan)
            for column in columns
        ]
        return FlagColumn(place, stated.names or names, np.stack(flags, axis=-1).astype(np.float32))
    column = columns[0]
    look = look_at(column, stated.missing)
    kind = stated.kind or ("multilabel" if stated.separator else _kind_of(task, look, column, table, place))
    if kind == "number" and stated.names is not None:
        kind = "class"  # many different whole numbers, but what has names is no quantity
    if kind == "number":
        return NumberColumn(place, _read_numbers(column, stated, table, problems), stated.unit)
    texts = _label_texts(column, table, problems, stated.missing)
    if kind == "multilabel":
        separator = stated.separator or look.separator or "|"
        sets = [
            None if text is None else frozenset(part.strip() for part in text.split(separator)) - {""} for text in texts
        ]
        _refuse_unnamed(sets, column, stated, table, problems)
        codes = np.array([-1 if tags is None else code for code, tags in enumerate(sets)], np.int32)[column.codes]
        return TagColumn(place, [tags or frozenset() for tags in sets], codes, stated.names)
    plain = _whole_numbers_alike(texts, stated.names or ())
    _refuse_unnamed([None if text is None else frozenset((text,)) for text in plain], column, stated, table, problems)
    different = list(dict.fromkeys(text for text in plain if text is not None))
    if kind == "ordinal" and stated.names is None and any(as_number(text) is None for text in different):
        expected = f"the order of the labels of task {task!r}, from lowest to highest"
        do = f"pass names=(...), or on the command line --task '{task}:lowest<...<highest'"
        raise ValueError(message(expected, do, **place, labels=sorted(different)))
    ids = {text: index for index, text in enumerate(different)}
    codes = np.array([-1 if text is None else ids[text] for text in plain], np.int32)[column.codes]
    return ClassColumn(place, OrdinalKind if kind == "ordinal" else ClassKind, different, codes, stated.names)


def _kind_of(task: str, look: Look, column: TableColumn, table: Table, where: dict[str, str]) -> str:
    if look.kind == "mixed":
        row = first_row(column, table.rows, look.odd)
        expected = f"either numbers or texts as labels of task {task!r}"
        do = "correct the cell, state what means 'missing', or state the kind"
        raise ValueError(message(expected, do, **where, row=row, value=shortened(look.odd)))
    if look.kind == "empty":
        raise ValueError(
            message(f"a label of task {task!r}", "label some rows, or leave the task out", **where, labels=0)
        )
    if look.kind in ("text", "image"):
        expected = f"labels of task {task!r} that occur more than once"
        do = "choose another column, or state the kind"
        raise ValueError(message(expected, do, **where, different=len(column.texts), rows=len(table)))
    return look.kind


def _read(
    column: TableColumn,
    table: Table,
    problems: Problems,
    missing: Sequence[str],
    read: Any,
    expected: str,
    absent: float,
) -> np.ndarray:
    """Numbers [N] by row from `read(text)`, which gives None for a text that is a problem."""
    values = np.full(len(column.texts), absent)
    wrong = []
    for code, text in enumerate(column.texts):
        if not is_missing(text, missing):
            value = read(text.strip().lower())
            if value is None:
                wrong.append(code)
            else:
                values[code] = value
    problems.extend(_cells(column, wrong, table, expected))
    return values[column.codes]


def _read_numbers(column: TableColumn, stated: Column, table: Table, problems: Problems) -> np.ndarray:
    low = -np.inf if stated.low is None else stated.low
    high = np.inf if stated.high is None else stated.high

    def read(text: str) -> float | None:
        value = as_number(text)
        # what float32 cannot hold is no label either
        return value if value is not None and low <= value <= high and abs(value) < 3e38 else None

    limits = "" if stated.low is None and stated.high is None else f" from {low:g} to {high:g}"
    return _read(column, table, problems, stated.missing, read, f"a number{limits}, or an empty cell", np.nan)


def _label_texts(column: TableColumn, table: Table, problems: Problems, missing: Sequence[str]) -> list[str | None]:
    """The text of every code without spaces around it, None where missing; longer ones than a label are problems."""
    texts = [None if is_missing(text, missing) else text.strip() for text in column.texts]
    long = [code for code, text in enumerate(texts) if text is not None and len(text) > LONGEST_NAME]
    problems.extend(_cells(column, long, table, f"a label of at most {LONGEST_NAME} characters"))
    return [None if text is not None and len(text) > LONGEST_NAME else text for text in texts]


def _refuse_unnamed(
    sets: Sequence[frozenset[str] | None], column: TableColumn, stated: Column, table: Table, problems: Problems
) -> None:
    if stated.names is None:
        return
    known = frozenset(stated.names)
    wrong = [code for code, labels in enumerate(sets) if labels is not None and labels - known]
    problems.extend(_cells(column, wrong, table, f"a label among {list(stated.names)}", _NAMES))


def _cells(
    column: TableColumn, codes: Sequence[int], table: Table, expected: str, do: str = CORRECT
) -> Iterator[Problem]:
    """A problem for every row whose cell has one of these codes."""
    if not codes:
        return
    for index in np.flatnonzero(np.isin(column.codes, codes)):
        yield Problem(int(table.rows[index]), column.name, shortened(column.text(int(index))), expected, do)


def _whole_numbers_alike(texts: Sequence[str | None], names: Sequence[str]) -> list[str | None]:
    """Where all labels are whole numbers, "1.0" and "01" become "1", unless so named: spreadsheets write both."""
    numbers = {text: as_number(text) for text in texts if text is not None}
    if any(number is None or not number.is_integer() for number in numbers.values()):
        return list(texts)
    return [text if text is None or text in names else str(int(numbers[text] or 0)) for text in texts]

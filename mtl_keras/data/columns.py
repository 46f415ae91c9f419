"""What may be stated of the columns that hold a task's labels."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from mtl_keras.data.kinds import kind_named
from mtl_keras.errors import message
from mtl_keras.tasks import NAME


@dataclass(frozen=True)
class Column:
    """What a task's labels are in a table. Everything may be left out: it is inferred then.

    Args:
        kind: `"class"`, `"multilabel"`, `"number"` or `"ordinal"` (never inferred).
        columns: Names of the columns, default one that is named as the task. Several columns of 0 and 1 are one task of
            kind `"multilabel"`, with the columns' names as labels.
        separator: What stands between the labels in a cell of kind `"multilabel"`, default `|` or `;`, whichever
            occurs. A cell with nothing but a separator has none of the labels; an empty cell is missing.
        names: The labels that there are, in the order of their ids: for `"ordinal"` from lowest to highest, to be left
            out only where they are numbers. A label beyond them is a problem. Default those of the training split,
            sorted.
        missing: Cells that mean "no label", beside empty ones and NaN, e.g. `("?", "unknown")`.
        low, high: Smallest and largest number allowed; what lies beyond is a problem. Default none. With either of
            them the kind is `"number"`.
        unit: Name of the numbers' unit, e.g. `"EUR"`.

    Raises:
        ValueError: The arguments do not go together.

    Example:
        >>> Column.parse("price:number")
        ('price', Column(kind='number', columns=('price',), ...))
        >>> Column.parse("face=smiling+hat:multilabel")[1].columns
        ('smiling', 'hat')
        >>> Column.parse("size:S<M<L")[1].names
        ('S', 'M', 'L')
    """

    kind: str | None = None
    columns: tuple[str, ...] | None = None
    separator: str | None = None
    names: tuple[str, ...] | None = None
    missing: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        for name in ("columns", "names", "missing"):
            value = getattr(self, name)
            if value is not None:
                parts = value if isinstance(value, (list, tuple)) else (value,)
                object.__setattr__(self, name, tuple(str(part).strip() for part in parts))
        if self.names is not None and (not self.names or len(set(self.names)) < len(self.names)):
            raise ValueError(message("names that differ from each other", "correct them", names=self.names))
        if self.names is not None and self.kind == "number":
            raise ValueError(message("no names for a task of kind 'number'", "leave them out", names=self.names))
        if not isinstance(self.unit, str):
            raise ValueError(message("the unit as a text", "correct it", unit=self.unit))
        if self.kind is not None:
            kind_named(self.kind)
        limits = [limit for limit in (self.low, self.high) if limit is not None]
        if limits:
            if not all(map(_is_number, limits)) or limits != sorted(limits) or self.kind not in (None, "number"):
                expected = "numbers as low and high of a task of kind 'number', the smaller one first"
                given = {"low": self.low, "high": self.high, "kind": self.kind}
                raise ValueError(message(expected, "correct them", **given))
            object.__setattr__(self, "kind", "number")
        if self.columns is not None and (not self.columns or len(set(self.columns)) < len(self.columns)):
            raise ValueError(message("columns of a task, each once", "correct them", columns=self.columns))
        several = self.columns is not None and len(self.columns) > 1
        if several and self.names is not None and len(self.names) != len(self.columns or ()):
            expected = "a name for each of the columns of 0 and 1, in their order"
            raise ValueError(message(expected, "correct the names", columns=self.columns, names=self.names))
        if several and self.kind not in (None, "multilabel"):
            raise ValueError(
                message("one column for a task of this kind", "name one", kind=self.kind, columns=self.columns)
            )
        a_text = isinstance(self.separator, str) and self.separator != ""
        if self.separator is not None and (several or self.kind not in (None, "multilabel") or not a_text):
            raise ValueError(
                message(
                    "a separator for one column of kind 'multilabel'",
                    "leave it out",
                    separator=self.separator,
                    kind=self.kind,
                )
            )

    @classmethod
    def parse(cls, text: str) -> tuple[str, "Column"]:
        """Task and column from `[task=]column[+column...][:kind]`, as the command line has it.

        In place of the kind the labels of an ordinal task may stand in their order, `lowest<...<highest`.
        """
        name, _, kind = text.rpartition(":") if ":" in text else (text, "", "")
        task, _, columns = name.rpartition("=")
        names = tuple(columns.split("+"))
        if not all(names) or (":" in text and not kind) or ("=" in name and not task):
            raise ValueError(
                message("a task as 'colour', 'colour:class' or 'task=column:kind'", "correct it", task=text)
            )
        task = task or names[0]
        if not NAME.match(task):
            plain = re.sub(r"[^A-Za-z0-9_]", "_", task)
            example = plain if NAME.match(plain) else f"task_{plain}"
            do = f"give it one, e.g. '{example}={text.removeprefix(f'{task}=')}'"
            raise ValueError(message("a task name of letters, digits and '_' that begins with a letter", do, task=task))
        if "<" in kind:
            labels = tuple(label.strip() for label in kind.split("<"))
            return task, cls(kind="ordinal", columns=names, names=labels)
        several = len(names) > 1
        if kind:
            kind_named(kind, task)
        return task, cls(kind=kind or ("multilabel" if several else None), columns=names)


def refuse_unused(columns: Mapping[str, Column], used: Sequence[str]) -> None:
    """Refuse what is stated of columns that a source makes no use of, rather than to pass over it.

    Raises:
        ValueError: There is such a thing.
    """
    for task, column in columns.items():
        unused = {f.name: getattr(column, f.name) for f in fields(column) if f.name not in used}
        stated = {name: value for name, value in unused.items() if value != getattr(Column, name)}
        if stated:
            expected = f"nothing but {', '.join(used)} in the Column of task {task!r}, as this source uses no more"
            raise ValueError(message(expected, "leave the rest out", **stated))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def stated_columns(tasks: Mapping[str, Any] | Sequence[str]) -> dict[str, Column]:
    """`{task: Column}` from what a user may pass: names, `"name:kind"`, or `{task: kind, Column or None}`.

    Example:
        >>> {task: column.kind for task, column in stated_columns(["colour", "price:number"]).items()}
        {'colour': None, 'price': 'number'}
    """
    if isinstance(tasks, (Mapping, list, tuple)) and not tasks:
        raise ValueError(message("at least one task", "pass e.g. ['colour', 'price:number']", tasks=tasks))
    if not isinstance(tasks, Mapping):
        texts = [tasks] if isinstance(tasks, str) else tasks
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            do = "pass e.g. ['colour', 'price:number']"
            raise ValueError(message("tasks as texts, or as a dict by name", do, tasks=tasks))
        parsed = [Column.parse(text) for text in texts]
        if len({task for task, _ in parsed}) < len(parsed):
            raise ValueError(message("every task once", "leave one out", tasks=[task for task, _ in parsed]))
        return dict(parsed)
    stated = {}
    for task, value in tasks.items():
        if not isinstance(value, (Column, str, type(None))):
            raise ValueError(message(f"a kind or a Column for task {task!r}", "pass data.Column(...)", value=value))
        if isinstance(value, str):
            kind_named(value, task)
        stated[task] = value if isinstance(value, Column) else Column(kind=value)
    return stated

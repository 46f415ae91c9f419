"""Bad input by file, row and column: collected, counted, and either an error or a list of what was left out."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mtl_keras.errors import message

SHOWN = 80  # characters of a value
CORRECT = "correct the row, or skip bad rows"


@dataclass(frozen=True)
class Problem:
    """One row that cannot be used.

    Attributes:
        row: Number of the row as spreadsheets count, the header being row 1.
        column: The column's name, or "" where the row as a whole is wrong.
        value: What stands there, shortened.
        expected: What would have been right.
        do: What to do about it.
    """

    row: int
    column: str
    value: str
    expected: str
    do: str = CORRECT

    def line(self) -> list[Any]:
        """What the list of what was left out says of it."""
        return [self.row, self.column, self.value, self.expected]


class Problems:
    """The problems of one file; each row is counted once, by the first thing that is wrong with it.

    Args:
        file: The file that has the rows.
        numbered: Whether people know the rows by number, default True.

    Example:
        >>> problems = Problems("shop.csv")
        >>> problems.add(Problem(7, "price", "abc", "a number"))
        >>> problems.rows, problems.count_by_reason()
        ([7], {'price: a number': 1})
    """

    def __init__(self, file: str, numbered: bool = True):
        self.file, self.numbered = file, numbered
        self._by_row: dict[int, Problem] = {}

    def __len__(self) -> int:
        return len(self._by_row)

    def add(self, problem: Problem) -> None:
        """Note a problem."""
        self._by_row.setdefault(problem.row, problem)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems."""
        for problem in problems:
            self.add(problem)

    @property
    def rows(self) -> list[int]:
        """The rows that have one, in order."""
        return sorted(self._by_row)

    def first(self, count: int) -> list[Problem]:
        """The problems of the first few rows."""
        return [self._by_row[row] for row in self.rows[:count]]

    def count_by_reason(self) -> dict[str, int]:
        """`{"column: what was expected": rows}`."""
        return dict(Counter(f"{p.column}: {p.expected}" if p.column else p.expected for p in self._by_row.values()))

    def refuse(self) -> None:
        """Raise the first problem, if there is one, and say how many there are.

        Raises:
            ValueError: There is one.
        """
        if not self._by_row:
            return
        first = self._by_row[self.rows[0]]
        where: dict[str, Any] = {"file": self.file} | ({"row": first.row} if self.numbered else {})
        if first.column:
            where |= {"column": first.column, "value": first.value}
        elif first.value:
            where["text"] = first.value
        raise ValueError(message(first.expected, first.do, **where, bad_rows=len(self)))

    def write(self, path: str | PathLike[str]) -> None:
        """Write the list as a CSV file: row, column, value, expected."""
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["row", "column", "value", "expected"])
            writer.writerows(self._by_row[row].line() for row in self.rows)


def check_skip_bad(skip_bad: Any) -> None:
    """Refuse, before anything is looked at, a list of what is left out that cannot be written.

    Raises:
        ValueError: It is neither a bool nor the path of a file in a folder that is there.
    """
    if isinstance(skip_bad, bool):
        return
    if not isinstance(skip_bad, (str, PathLike)):
        do = "pass e.g. skip_bad='left_out.csv'"
        raise ValueError(message("True, False or the path of a list as skip_bad", do, skip_bad=skip_bad))
    if not Path(skip_bad).parent.is_dir() or Path(skip_bad).is_dir():
        expected = "the path of a file in a folder that is there as skip_bad"
        raise ValueError(message(expected, "make the folder, or choose another", skip_bad=fspath(skip_bad)))


def shortened(value: str) -> str:
    """The value as an error message shows it."""
    return value if len(value) <= SHOWN else f"{value[:SHOWN]}... ({len(value):,} characters)"

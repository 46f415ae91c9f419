"""Records that cannot be used: by file, number and feature; an error, or a list of what was left out."""

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mtl_keras.errors import message

REPLACE = "replace the file, or skip bad records"


@dataclass(frozen=True)
class RecordProblem:
    """One record that cannot be used.

    Attributes:
        file: The file it lies in.
        record: Its number in the file, counted from 0.
        feature: The feature that is wrong, "" where the record as a whole is.
        expected: What would have been right.
        found: What is there instead, "" where there is nothing to show.
        rest: Whether nothing that follows in the file can be read either.
        do: What to do about it.
    """

    file: str
    record: int
    feature: str
    expected: str
    found: str = ""
    rest: bool = False
    do: str = REPLACE

    def line(self) -> list[Any]:
        """What the list of what was left out says of it."""
        lost = "lost" if self.rest else ""
        return [self.file, self.record, self.feature, self.found, self.expected, lost]


def refuse(problems: list[RecordProblem], do: str | None = None) -> None:
    """Raise the first problem, if there is one, and say how many there are.

    Args:
        problems: Of all files.
        do: What the reader should do, default what the problem says.

    Raises:
        ValueError: There is one.

    Example:
        >>> refuse([RecordProblem("a.tfrecord", 7, "", "a record with the right checksum")])
        Traceback (most recent call last):
        ValueError: Expected a record with the right checksum. Received: file='a.tfrecord', record=7, bad_records=1. Do
        replace the file, or skip bad records.
    """
    if not problems:
        return
    first = problems[0]
    where: dict[str, Any] = {"file": first.file, "record": first.record}
    if first.feature:
        where["feature"] = first.feature
    if first.found:
        where["found"] = first.found
    if first.rest:
        where["rest_of_file"] = "lost"
    raise ValueError(message(first.expected, do or first.do, **where, bad_records=len(problems)))


def shown(paths: Iterable[str]) -> list[str]:
    """Paths for a message: the first three, and how many more there are.

    Example:
        >>> shown(f"{letter}.tfrecord" for letter in "abcde")
        ['a.tfrecord', 'b.tfrecord', 'c.tfrecord', '2 more']
    """
    first, more = (paths := list(paths))[:3], len(paths) - 3
    return [*first, f"{more} more"] if more > 0 else first


def write_list(problems: Iterable[RecordProblem], path: str | PathLike[str]) -> None:
    """Write the list as a CSV file: file, record, feature, found, expected, rest_of_file."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "record", "feature", "found", "expected", "rest_of_file"])
        writer.writerows(problem.line() for problem in problems)


def count_by_reason(problems: Iterable[RecordProblem]) -> dict[str, int]:
    """`{"feature: what was expected": records}`."""
    return dict(Counter(f"{p.feature}: {p.expected}" if p.feature else p.expected for p in problems))

"""What can no longer be read while training and is left out: told, counted, and added to the list of bad rows."""

import csv
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any


class Lost:
    """Examples of one source that broke after they had been looked at; each counts once, however often it is read.

    Args:
        listed_in: The list of what was left out before training, a CSV file that is there; None where there is none.

    Example:
        >>> lost = Lost()
        >>> for epoch in range(2):
        ...     lost.add("a.tfrecord", ["a.tfrecord", 7])
        >>> lost.by_file()
        {'a.tfrecord': 1}
    """

    def __init__(self, listed_in: str | PathLike[str] | None = None):
        self._listed_in = None if listed_in is None else Path(listed_in)
        self._found: dict[tuple[Any, ...], str] = {}
        # the threads of a pipeline call it
        self._lock = threading.Lock()

    @classmethod
    def of(cls, skip_bad: bool | str | PathLike[str]) -> "Lost | None":
        """What `skip_bad` of the sources asks for; None for an error at the first example."""
        if isinstance(skip_bad, bool):
            return cls() if skip_bad else None
        return cls(skip_bad)

    def add(self, file: str, line: Sequence[Any]) -> None:
        """Note an example.

        Args:
            file: Where it lay; the first of each file is told on standard error.
            line: What the list says of it.
        """
        with self._lock:
            if tuple(line) in self._found:
                return
            is_first = file not in self._found.values()
            self._found[tuple(line)] = file
            if self._listed_in is not None:
                with self._listed_in.open("a", encoding="utf-8", newline="") as opened:
                    csv.writer(opened).writerow(line)
        if is_first:
            print(f'Left out, as it can no longer be read: "{file}"', file=sys.stderr, flush=True)

    def by_file(self) -> dict[str, int]:
        """How many examples of each file."""
        with self._lock:
            return dict(Counter(self._found.values()))

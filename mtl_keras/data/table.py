"""CSV files, read strictly: every row becomes an example or a problem, none is lost."""

import codecs
import csv
import itertools
import re
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.data.problems import SHOWN, Problem, Problems, shortened
from mtl_keras.errors import message


@dataclass(frozen=True)
class TableColumn:
    """One column: the different texts in it, and which of them each row has.

    Attributes:
        name: As in the header.
        texts: The different texts, in the order in which they first occur.
        codes: int32 [N], index into `texts`.
    """

    name: str
    texts: list[str]
    codes: np.ndarray

    def text(self, index: int) -> str:
        """The cell of one row."""
        return self.texts[self.codes[index]]

    def counts(self) -> np.ndarray:
        """How many rows have each of the texts."""
        return np.bincount(self.codes, minlength=len(self.texts))

    def chosen(self, keep: np.ndarray) -> "TableColumn":
        """The rows where `keep`, a bool [N], says so."""
        return TableColumn(self.name, self.texts, self.codes[keep])


@dataclass(frozen=True)
class Table:
    """The rows of a CSV file that could be read.

    Attributes:
        file: Where it lies.
        header: All column names.
        columns: The columns that were asked for.
        rows: int32 [N], number of each row as spreadsheets count, the header being row 1.
        read: How many rows the file has below the header, without blank ones: rows here and problems together.
    """

    file: str
    header: list[str]
    columns: dict[str, TableColumn]
    rows: np.ndarray
    read: int

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> TableColumn:
        """A column by name.

        Raises:
            ValueError: There is none.
        """
        if name not in self.columns:
            raise ValueError(message(f"a column among {self.header}", "correct the name", file=self.file, column=name))
        return self.columns[name]

    def chosen(self, keep: np.ndarray) -> "Table":
        """The rows where `keep`, a bool [N], says so."""
        columns = {name: column.chosen(keep) for name, column in self.columns.items()}
        return Table(self.file, self.header, columns, self.rows[keep], self.read)


def read_table(
    file: str | PathLike[str],
    columns: Sequence[str] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> tuple[Table, Problems]:
    """Read a CSV file whose first row names the columns.

    Args:
        file: The file; a byte order mark and any kind of line end are understood.
        columns: The columns to keep, default all.
        delimiter: What stands between cells, default a comma; a tab may be written `\\t`.
        encoding: Default UTF-8.

    Returns:
        The rows that could be read, and the problems of the others. Blank rows are neither.

    Raises:
        ValueError: The file cannot be opened or has no rows, it has another encoding, the header is damaged, names two
            columns alike, or lacks a column that was asked for.
    """
    path = Path(file)
    problems = Problems(fspath(path))
    if not path.is_file():
        raise ValueError(message("a CSV file", "check the path", file=fspath(path)))
    if delimiter == "\\t":  # as it is written on a command line
        delimiter = "\t"
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(message("one character as the delimiter", "pass ',', ';' or '\\t'", delimiter=delimiter))
    if not isinstance(encoding, str):
        raise ValueError(message("the name of an encoding", "pass 'utf-8'", encoding=encoding))
    try:
        # utf-8-sig is UTF-8 that may begin with a byte order mark
        with path.open(encoding="utf-8-sig" if _is_utf8(encoding) else encoding, newline="") as lines:
            rows = _rows(lines, delimiter, problems)
            header = _checked_header(next(rows, (1, []))[1], problems, delimiter)
            return _collect(rows, header, _wanted(columns, header, problems.file), problems), problems
    except (UnicodeError, LookupError) as error:
        raise ValueError(_encoding_message(path, encoding, error)) from error
    except OSError as error:
        raise ValueError(
            message("a CSV file that can be read", "check it", file=fspath(path), error=str(error))
        ) from error


def _collect(
    rows: Iterator[tuple[int, list[str]]], header: list[str], wanted: dict[str, int], problems: Problems
) -> Table:
    numbers = array("i")
    texts = {name: _Codes() for name in wanted}
    codes = {name: array("i") for name in wanted}
    width = len(header)
    while chunk := list(itertools.islice(rows, _CHUNK)):
        whole = []
        for number, cells in chunk:
            if len(cells) == width:
                numbers.append(number)
                whole.append(cells)
            else:
                expected = f"{width} cells in every row, as in the header"
                problems.add(Problem(number, "", f"{len(cells)} cells", expected, _QUOTES))
        for name, index in wanted.items():
            codes[name].extend(map(texts[name].__getitem__, [cells[index] for cells in whole]))
    read = len(numbers) + len(problems)
    if not read:
        raise ValueError(message("rows below the header", "give a CSV file with examples", file=problems.file, rows=0))
    made = {name: TableColumn(name, list(texts[name]), np.frombuffer(codes[name], np.int32).copy()) for name in wanted}
    return Table(problems.file, header, made, np.frombuffer(numbers, np.int32).copy(), read)


_CHUNK = 256  # rows sorted into columns at once: so few that their lists set off no garbage collection


class _Codes(dict[str, int]):
    """A number for every text, in the order in which they first occur."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


_WELL_QUOTED = "cells of a usual length, with quotation marks in pairs around a whole cell"
_QUOTES = "put cells that hold the delimiter into quotation marks, or skip bad rows"
_LONG = "a cell of at most {:,} characters"
_NUL = "\0"
_TEXT = "cells of text, which has no NUL characters"
_NO_TEXT = "correct the row, or pass the encoding of the file, e.g. encoding='utf-16'"


def _rows(lines: Iterator[str], delimiter: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of every row; those that are wrongly quoted become problems, and reading goes on behind them.

    A quotation mark that is never closed would swallow the rest of the file: only its own line is given up.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    header: list[str] = []
    for number in itertools.count(1):
        source.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines_read = len(source.row)
            first = source.give_up_line().rstrip("\r\n")
            long = _too_long(first, delimiter) if lines_read == 1 else None
            if long is None:
                problems.add(Problem(number, "", f"{shortened(first)} ({error})", _WELL_QUOTED, _QUOTES))
            else:
                place, cell = long
                expected, do = _LONG.format(csv.field_size_limit()), "shorten the cell, or skip bad rows"
                problems.add(Problem(number, _name_at(header, place), shortened(cell), expected, do))
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            continue
        if source.has_nul:
            place, cell = next(found for found in enumerate(cells) if _NUL in found[1])
            problems.add(Problem(number, _name_at(header, place), shortened(cell), _TEXT, _NO_TEXT))
        elif cells:
            header = header or cells
            yield number, cells


def _name_at(header: list[str], place: int) -> str:
    return header[place].strip() if place < len(header) else ""


def _too_long(line: str, delimiter: str) -> tuple[int, str] | None:
    """Place and text of the first cell in a line that is longer than what `csv` reads; None where none is."""
    sign = re.escape(delimiter)
    cells = re.findall(rf'(?:^|{sign})("(?:[^"]|"")*"|[^{sign}]*)', line)
    return next((found for found in enumerate(cells) if len(found[1]) > csv.field_size_limit()), None)


class _Lines:
    """Lines of a file, with those of the current row in reach."""

    def __init__(self, lines: Iterator[str]):
        self._lines = lines
        self._again: deque[str] = deque()
        self.row: list[str] = []
        self.has_nul = False

    def __iter__(self) -> Iterator[str]:
        while self._again:
            yield self._noted(self._again.popleft())
        for line in self._lines:
            yield self._noted(line)

    def begin_row(self) -> None:
        """The lines that follow are those of another row."""
        self.row.clear()
        self.has_nul = False

    def _noted(self, line: str) -> str:
        self.row.append(line)
        if _NUL in line:
            self.has_nul = True
        return line

    def give_up_line(self) -> str:
        """Leave out the row's first line; the others will be read again."""
        first, *others = self.row
        self._again.extendleft(reversed(others))
        return first


def _checked_header(header: list[str], problems: Problems, delimiter: str) -> list[str]:
    problems.refuse()  # whatever is wrong above the first row of cells
    names = [name.strip() for name in header]
    if not any(names):
        raise ValueError(message("a header that names the columns", "add it as the first row", file=problems.file))
    for index, name in enumerate(names):
        if name and name in names[:index]:
            raise ValueError(
                message(
                    "columns of different names",
                    "rename one of them",
                    file=problems.file,
                    row=1,
                    column=name,
                    positions=[names.index(name) + 1, index + 1],
                )
            )
    other = next((sign for sign in ";\t|," if sign != delimiter and sign in names[0]), None)
    if len(names) == 1 and other is not None:
        raise ValueError(
            message(
                f"columns separated by {delimiter!r}", f"pass delimiter={other!r}", file=problems.file, header=names[0]
            )
        )
    return names


def _wanted(columns: Sequence[str] | None, header: list[str], file: str) -> dict[str, int]:
    wanted = [name for name in header if name] if columns is None else list(dict.fromkeys(columns))
    for name in wanted:
        if name not in header:
            raise ValueError(message(f"a column among {header}", "correct the name", file=file, column=name))
    return {name: header.index(name) for name in wanted}


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def _encoding_message(path: Path, encoding: str, error: Exception) -> str:
    """Where the first byte is that is not of the encoding."""
    do = "save the file as UTF-8, or pass its encoding, e.g. encoding='cp1252' or 'utf-16'"
    where: dict[str, object] = {"file": fspath(path)}
    if isinstance(error, UnicodeDecodeError) and _is_utf8(encoding):
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as wrong:
                    where |= {"line": number, "bytes": line[wrong.start : wrong.start + 4]}
                    break
    return message(f"text in the encoding {encoding!r}", do, **where, error=str(error)[:SHOWN])

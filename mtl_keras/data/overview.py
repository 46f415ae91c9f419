"""What there is in a table, before anything is decided: every column, its labels, and the images it names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np

from mtl_keras.data.decoding import ImageDecoder
from mtl_keras.data.image_files import ImageFiles, Progress, decode_all, read_headers
from mtl_keras.data.looks import Look, as_number, first_row, is_missing, look_at
from mtl_keras.data.paths import Root
from mtl_keras.data.problems import Problem, Problems, shortened
from mtl_keras.data.table import Table, TableColumn
from mtl_keras.images import ImageFormat, ImageHeader


@dataclass(frozen=True)
class ColumnOverview:
    """One column.

    Attributes:
        name: As in the header.
        look: What it most likely holds.
        rows: How many rows there are.
        missing: How many of them have nothing in it.
        labels: How often each label occurs, most common first; of numbers none.
        smallest, largest, mean: Of numbers; NaN for others.
        alike: Of whole numbers, whether two rows have the same; True for others. Numbers of which no two are alike are
            ids, most likely.
        odd_row: The row of the text that does not go with the others, in a column of numbers and texts.
    """

    name: str
    look: Look
    rows: int
    missing: int
    labels: Counter[str]
    smallest: float = float("nan")
    largest: float = float("nan")
    mean: float = float("nan")
    alike: bool = True
    odd_row: int | None = None

    @property
    def imbalance(self) -> float | None:
        """How many times as often the most common class or label occurs as the rarest; None where there are none."""
        counts = list(self.labels.values())
        return max(counts) / min(counts) if len(counts) > 1 and self.look.kind in ("class", "multilabel") else None


def overview(table: Table, missing: Sequence[str] = ()) -> list[ColumnOverview]:
    """Look at every column of a table.

    Args:
        table: The table.
        missing: Cells that mean "no label", beside empty ones and NaN.

    Example:
        >>> import tempfile, pathlib
        >>> from mtl_keras.data.table import read_table
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "shop.csv"
        >>> _ = file.write_text("colour,price\\nred,1.5\\nred,\\nblue,4\\n")
        >>> colour, price = overview(read_table(file)[0])
        >>> colour.look.kind, colour.imbalance, price.look.kind, price.missing
        ('class', 2.0, 'number', 1)
    """
    return [_column(column, table.rows, missing) for column in table.columns.values()]


def _column(column: TableColumn, rows: np.ndarray, missing: Sequence[str]) -> ColumnOverview:
    look, counts = look_at(column, missing), column.counts()
    labels: Counter[str] = Counter()
    for text, often in zip(column.texts, counts.tolist(), strict=True):
        if not is_missing(text, missing):
            parts = text.split(look.separator) if look.separator else [text]
            for part in {part.strip() for part in parts} - {""}:
                labels[part] += often
    absent = sum(n for text, n in zip(column.texts, counts.tolist(), strict=True) if is_missing(text, missing))
    found = ColumnOverview(column.name, look, len(column.codes), absent, Counter(dict(labels.most_common())))
    if look.kind == "mixed":
        return replace(found, odd_row=first_row(column, rows, look.odd))
    if look.kind != "number":
        return found
    numbers = np.array([as_number(text) for text in labels], float)
    mean = float(np.average(numbers, weights=list(labels.values())))
    alike = len(np.unique(numbers)) < len(column.codes) - absent or not (numbers == np.floor(numbers)).all()
    low, high = float(numbers.min()), float(numbers.max())
    return replace(found, labels=Counter(), smallest=low, largest=high, mean=mean, alike=alike)


@dataclass(frozen=True)
class ImageOverview:
    """The images that a column names.

    Attributes:
        files: How many different ones.
        wrong: The rows whose image cannot be used.
        smallest, largest: (width, height) of the images with the fewest and the most pixels, as they are shown.
        good: Index of a row for every image that can be used.
    """

    files: int
    wrong: Problems
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    good: np.ndarray


def look_at_images(
    table: Table, column: str, root: str | PathLike[str], decode: bool = True, progress: Progress | None = None
) -> ImageOverview:
    """Look at every image that a column names.

    Args:
        table: The table.
        column: Name of the column with the paths.
        root: Folder that the paths start from.
        decode: Whether to decode them, default True; else only their headers are read.
        progress: As in `from_csv`.
    """
    named, folder = table.column(column), Root(root)
    found = folder.find_all(named.texts)
    headers = read_headers(folder.folder, found, progress=progress)
    expected = {code: header for code, header in enumerate(headers) if isinstance(header, str)}
    good = [code for code in range(len(found)) if code not in expected]
    if decode:
        kept: list[ImageHeader | None] = [h for h in headers if not isinstance(h, str)]
        decoder = ImageDecoder(ImageFormat(16, 16))  # small: what matters is whether they can be decoded at all
        files = ImageFiles(folder.folder, [found.paths[code] for code in good], decoder, kept)
        expected |= {good[index]: text for index, text in decode_all(files, progress=progress).items()}
    wrong = Problems(table.file)
    for index in np.flatnonzero(np.isin(named.codes, list(expected))).tolist():
        code = int(named.codes[index])
        wrong.add(Problem(int(table.rows[index]), column, shortened(named.texts[code]), expected[code]))
    used = [code for code in good if code not in expected]
    sizes = sorted((_shown(headers[code]) for code in used), key=lambda size: size[0] * size[1])
    codes, first = np.unique(named.codes, return_index=True)
    rows = first[np.isin(codes, used)]
    return ImageOverview(len(found), wrong, sizes[0] if sizes else None, sizes[-1] if sizes else None, np.sort(rows))


def _shown(header: ImageHeader | str) -> tuple[int, int]:
    assert isinstance(header, ImageHeader)
    turned = header.orientation >= 5
    return (header.height, header.width) if turned else (header.width, header.height)

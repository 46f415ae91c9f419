"""What a column of texts looks like: numbers, classes, several labels in a cell, paths of images, or none of these."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_keras.data.table import TableColumn

SEPARATORS = "|;"
# more different whole numbers than that are taken for quantities, not for classes
MOST_NUMBERED_CLASSES = 20
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


@dataclass(frozen=True)
class Look:
    """What a column most likely holds.

    Attributes:
        kind: A kind of labels (`"class"`, `"number"`, `"multilabel"`), or `"image"` (paths), `"text"` (too many
            different ones to be classes), `"mixed"` (numbers and texts), `"empty"`.
        separator: What stands between labels, for `"multilabel"`.
        odd: For `"mixed"`: a text of the rarer sort.
    """

    kind: str
    separator: str | None = None
    odd: str = ""


def is_missing(text: str, missing: Sequence[str] = ()) -> bool:
    """Whether a cell holds no label: nothing, NaN, or one of the values that are stated to mean that."""
    plain = text.strip()
    if not plain or plain.lower() == "nan" or plain in missing:
        return True
    number = as_number(plain) if missing else None  # spreadsheets write -1 as -1.0 too
    return number is not None and number in map(as_number, missing)


def as_number(text: str) -> float | None:
    """The number that a text stands for; None if it is none, or not finite.

    Example:
        >>> as_number(" 1e3 "), as_number("12,5"), as_number("inf"), as_number("1_000")
        (1000.0, None, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    # Python reads 1_000 as a number; people who write it mean something else
    return value if math.isfinite(value) and "_" not in text else None


def look_at(column: TableColumn, missing: Sequence[str] = ()) -> Look:
    """Guess the kind of labels in a column, from its different texts.

    Args:
        column: The column.
        missing: Values that mean "no label", beside the empty cell and NaN.
    """
    counts = column.counts()
    texts = [(text.strip(), int(n)) for text, n in zip(column.texts, counts, strict=True) if n]
    texts = [(text, n) for text, n in texts if not is_missing(text, missing)]
    if not texts:
        return Look("empty")
    numbers = [as_number(text) for text, _ in texts]
    numeric = sum(number is not None for number in numbers)
    if numeric == len(texts):
        whole = all(float(number).is_integer() for number in numbers if number is not None)
        different = len(set(numbers))
        return Look("class" if whole and different <= MOST_NUMBERED_CLASSES else "number")
    if numeric:
        rarer = numeric < len(texts) / 2
        odd = next(t for (t, _), number in zip(texts, numbers, strict=True) if (number is not None) == rarer)
        return Look("mixed", odd=odd)
    # a few that are none are found when the files are looked at
    if sum(text.lower().endswith(_IMAGES) for text, _ in texts) > len(texts) / 2:
        return Look("image")
    for separator in SEPARATORS:
        if any(separator in text for text, _ in texts):
            return Look("multilabel", separator)
    labelled = sum(n for _, n in texts)
    return Look("text" if len(texts) > max(MOST_NUMBERED_CLASSES, labelled // 2) else "class")


def first_row(column: TableColumn, rows: np.ndarray, text: str) -> int:
    """The first row whose cell is this text, spaces around it aside."""
    codes = [code for code, known in enumerate(column.texts) if known.strip() == text]
    return int(rows[np.isin(column.codes, codes)][0])

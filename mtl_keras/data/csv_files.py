"""A CSV file of image paths and partly filled label columns as a source."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from mtl_keras.data.columns import Column, stated_columns
from mtl_keras.data.image_files import Progress
from mtl_keras.data.image_tables import Reading
from mtl_keras.data.source import Source
from mtl_keras.data.splits import Splits
from mtl_keras.data.table import read_table
from mtl_keras.images import ImageFormat


def from_csv(
    file: str | PathLike[str],
    image: str,
    tasks: Mapping[str, Column | str | None] | Sequence[str],
    root: str | PathLike[str] | None = None,
    image_size: int | tuple[int, int] | ImageFormat = 128,
    splits: Splits | None = None,
    check: str = "pixels",
    skip_bad: bool | str | PathLike[str] = False,
    cache: str | PathLike[str] | None = None,
    delimiter: str = ",",
    encoding: str = "utf-8",
    seed: int = 0,
    input_name: str = "image",
    progress: Progress | None = None,
) -> Source:
    """A source of image files that a CSV file names and labels.

    Args:
        file: CSV file whose first row names the columns.
        image: Name of the column with the paths of the images.
        tasks: Names of columns, `"column:kind"` texts, or `{task: Column, kind or None}`; kinds are inferred where they
            are not stated. A column of whole numbers with at most 20 different ones, or of texts, is a class; other
            numbers are numbers; texts with `|` or `;` in them are several labels.
        root: Folder that the paths start from and must not leave, default the folder of the CSV file.
        image_size: One side, `(height, width)`, or an `ImageFormat` for grey images or another way to resize.
        splits: How to divide the rows, default 10 % each for val and test at random.
        check: What is looked at before training: `"paths"` (every file is there), `"headers"` (it begins as an image
            should, and is not too large), `"pixels"` (default; it can be decoded, which takes about as long as an epoch
            of reading). The dearer ones include the others. A file that cannot be decoded ends training where nobody
            has looked before. Files whose headers are unknown are decoded more slowly.
        skip_bad: What happens to rows that cannot be used: False (default) for an error that names the first one, True
            to leave them out, or a path: they are left out and listed there.
        cache: Where to keep the decoded images: `"memory"`, a folder, `"auto"` (in memory if they take less than a
            quarter of what is free), default nowhere. Implies `check="pixels"`.
        delimiter, encoding: Of the CSV file, default a comma and UTF-8.
        seed: Seed of the order of the training examples, default 0.
        input_name: Name of the model's input, default `"image"`.
        progress: Called as `progress(what, number, of)` while files are looked at.

    Returns:
        The source. `source.about` says how many rows were read, used and left out and why, which labels of val and test
        training has not seen (these count as missing), and how many images several rows name in different splits.

    Raises:
        ValueError: The file, a column, or (unless `skip_bad`) a row is not as it should be; a task has no label in a
            split, or one class only.

    Example: see docs/data.md.
    """
    reading = Reading(
        image=image,
        columns=stated_columns(tasks),
        root=Path(file).parent if root is None else root,
        image_format=ImageFormat.of(image_size),
        splits=Splits.of(splits),
        check=check,
        skip_bad=skip_bad,
        cache=cache,
        seed=seed,
        input_name=input_name,
        progress=progress,
    )
    return reading.source(*read_table(file, reading.names, delimiter, encoding))

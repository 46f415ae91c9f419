"""A folder with one folder of images for each class as a source."""

from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.data.columns import Column
from mtl_keras.data.image_files import Progress
from mtl_keras.data.image_tables import Reading
from mtl_keras.data.problems import Problem, Problems, shortened
from mtl_keras.data.source import Source
from mtl_keras.data.splits import Splits, split_names
from mtl_keras.data.table import Table, TableColumn
from mtl_keras.errors import message
from mtl_keras.images import ImageFormat

# no task can have these names
_IMAGE, _SPLIT = "image file", "split folder"


def from_directory(
    root: str | PathLike[str],
    task: str = "label",
    image_size: int | tuple[int, int] | ImageFormat = 128,
    splits: Splits | None = None,
    check: str = "pixels",
    skip_bad: bool | str | PathLike[str] = False,
    cache: str | PathLike[str] | None = None,
    seed: int = 0,
    input_name: str = "image",
    progress: Progress | None = None,
) -> Source:
    """A source of image files whose folder is their class.

    Args:
        root: Folder with one folder for each class, as deep as you like below that; or with the folders `train`, `val`
            and `test` that hold those. Files and folders whose names begin with a dot are not looked at.
        task: Name of the task, default `"label"`.
        splits: How to divide the images where the folders do not, default 10 % each for val and test, in every class.
        image_size, check, skip_bad, cache, seed, input_name, progress: As in `from_csv`.

    Raises:
        ValueError: The folder or (unless `skip_bad`) a file in it is not as it should be.

    Example:
        >>> import tempfile, pathlib
        >>> from PIL import Image
        >>> root = pathlib.Path(tempfile.mkdtemp())
        >>> for kind in ("cat", "dog"):
        ...     (root / kind).mkdir()
        ...     for number in range(10):
        ...         Image.new("RGB", (8, 8)).save(root / kind / f"{number}.png")
        >>> source = from_directory(root, "animal", image_size=8)
        >>> source.kinds["animal"].names, source.sizes
        (('cat', 'dog'), {'train': 16, 'val': 2, 'test': 2})
    """
    table, problems, divided = _table(Path(root), task)
    if splits is None:
        splits = Splits(column=_SPLIT) if divided else Splits(stratify=task)
    if splits.column not in (None, _SPLIT) or splits.group is not None:
        raise ValueError(message("a random split without columns", "use from_csv for others", splits=splits))
    reading = Reading(
        image=_IMAGE,
        columns={task: Column("class", (task,))},
        root=root,
        image_format=ImageFormat.of(image_size),
        splits=splits,
        check=check,
        skip_bad=skip_bad,
        cache=cache,
        seed=seed,
        input_name=input_name,
        progress=progress,
    )
    return reading.source(table, problems)


def _table(root: Path, task: str) -> tuple[Table, Problems, bool]:
    """Images, classes and splits as a table; whether folders divide the images into splits."""
    if not root.is_dir():
        raise ValueError(message("a folder with one folder for each class", "check the path", root=fspath(root)))
    problems = Problems(fspath(root), numbered=False)
    top = [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    divided = bool(top) and bool((split_names(top) >= 0).all())
    above = 1 if divided else 0  # folders above that of the class
    rows: list[int] = []
    cells: dict[str, list[str]] = {_IMAGE: [], task: [], _SPLIT: []}
    number = 0
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") for part in parts) or path.is_dir():
            continue
        number += 1
        name = "/".join(parts)
        if len(parts) < 2 + above:
            expected = "every image in the folder of its class"
            problems.add(Problem(number, _IMAGE, shortened(name), expected, "move it, or skip bad files"))
            continue
        rows.append(number)
        for column, cell in ((_IMAGE, name), (task, parts[above]), (_SPLIT, parts[0] if divided else "")):
            cells[column].append(cell)
    if not rows:
        problems.refuse()
        raise ValueError(message("images in folders named as their classes", "check the folder", root=fspath(root)))
    columns = {name: _column(name, texts) for name, texts in cells.items()}
    return Table(fspath(root), list(columns), columns, np.array(rows, np.int32), number), problems, divided


def _column(name: str, cells: list[str]) -> TableColumn:
    known = {text: code for code, text in enumerate(dict.fromkeys(cells))}
    return TableColumn(name, list(known), np.array([known[cell] for cell in cells], np.int32))

"""Files and folders that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from tempfile import mkdtemp

from mtl_keras.errors import message


@contextmanager
def appearing(path: str | PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes that name at the end, and is removed after an error.

    Raises:
        ValueError: `path` exists already: nothing is ever overwritten.
    """
    path = Path(path)
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        unfinished = workplace / path.name
        yield unfinished
        refuse_existing(path)
        os.rename(unfinished, path)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raise if there is something at `path`."""
    if path.exists():
        raise ValueError(
            message(
                "a path that is free (nothing is overwritten)", "choose another, or remove it first", path=fspath(path)
            )
        )


def next_version(folder: str | PathLike[str]) -> Path:
    """`<folder>/<n>` with the first whole number above all that are there, as TensorFlow Serving orders them.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp()); (folder / "7").mkdir(); (folder / "example").mkdir()
        >>> next_version(folder).name
        '8'
    """
    folder = Path(folder)
    there = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    return folder / str(max(there, default=0) + 1)

"""Files and folders that are there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from tempfile import mkdtemp

import filelock

from mtl_keras.errors import message

_UNFINISHED, _LOCK = ".unfinished-", "lock"


@contextmanager
def appearing(path: str | PathLike[str]) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes that name at the end, and is removed after an error.

    A process that is killed outright may leave a hidden folder `.unfinished-*` behind, never anything at `path`; the
    next one to write there removes it.

    Raises:
        ValueError: `path` exists already: nothing is ever overwritten.
    """
    path = Path(path)
    refuse_existing(path)
    with workplace(path.parent) as folder:
        unfinished = folder / path.name
        yield unfinished
        refuse_existing(path)
        os.rename(unfinished, path)


@contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """A hidden folder in `parent`, on the same file system, that is removed with all that is still in it.

    Its lock is held as long as this process lives. Folders whose lock nobody holds are those of dead processes.

    Raises:
        ValueError: `parent` is no folder, or nothing can be written to it.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        folder, lock = _claimed(parent)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(
            message("a folder to write to", "choose another, a file is in the way", path=fspath(parent))
        ) from None
    except OSError as error:
        do, given = "choose another, or make it writable", {"path": fspath(parent), "error": error.strerror}
        raise ValueError(message("a folder to write to", do, **given)) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _claimed(parent: Path) -> tuple[Path, filelock.BaseFileLock]:
    """A new hidden folder and its lock."""
    while True:
        folder = Path(mkdtemp(prefix=_UNFINISHED, dir=parent))
        lock = _lock(folder)
        try:
            lock.acquire()
        except (filelock.Timeout, FileNotFoundError, FileExistsError):
            continue  # another process took the empty folder for an abandoned one
        if (folder / _LOCK).exists():
            return folder, lock
        lock.release()


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_UNFINISHED}*/"):
        # of another user, or in use
        with contextlib.suppress(OSError, filelock.Timeout), _lock(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / _LOCK, timeout=0)


def refuse_existing(path: Path) -> None:
    """Raise if there is something at `path`, be it a link that leads nowhere."""
    if os.path.lexists(path):
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
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    there = [int(name) for name in names if name.isascii() and name.isdigit()]
    return folder / str(max(there, default=0) + 1)


def become_next_version(finished: Path, folder: Path) -> Path:
    """Move a folder that is not empty to the next free version, also where another process takes that at the moment."""
    while True:
        target = next_version(folder)
        try:
            return finished.rename(target)
        except OSError:
            if not os.path.lexists(target):
                raise

"""Paths of files as a table names them: inside one folder, and every one a file that is there."""

import os
import stat
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.errors import message

OUTSIDE = "a path inside the root folder"
MISSING = "a file that exists"
_NO_PATH = "the path of a file"


class NoSuchFile(Exception):
    """A path that cannot be used; its text is what was expected instead."""


@dataclass(frozen=True)
class FoundFiles:
    """Files below a root folder, in arrays: there may be millions.

    Attributes:
        paths: Relative to the root.
        sizes: In bytes, int64 [N]; 0 for files that cannot be used.
        modified: When they were last changed, in nanoseconds, int64 [N].
        wrong: `{index: what was expected instead}` of files that cannot be used.
    """

    paths: list[str]
    sizes: np.ndarray
    modified: np.ndarray
    wrong: dict[int, str]

    def __len__(self) -> int:
        return len(self.paths)

    def chosen(self, which: np.ndarray) -> "FoundFiles":
        """Those with these indices, in order, none of which is wrong."""
        if len(which) == len(self):
            return self  # nothing to copy
        return FoundFiles([self.paths[index] for index in which], self.sizes[which], self.modified[which], {})

    def key(self) -> list[tuple[str, int, int]]:
        """What tells whether they are the same files as before."""
        return list(zip(self.paths, self.sizes.tolist(), self.modified.tolist(), strict=True))


class Root:
    """The folder that all files must lie in.

    Args:
        folder: The folder.

    Raises:
        ValueError: It is no folder.

    Example:
        >>> import tempfile
        >>> Root(tempfile.mkdtemp()).find_all(["../secret.jpg", "photo.jpg"]).wrong
        {0: 'a path inside the root folder', 1: 'a file that exists'}
    """

    def __init__(self, folder: str | PathLike[str]):
        if not Path(folder).is_dir():
            raise ValueError(message("a folder with the files", "correct root", root=fspath(folder)))
        self.folder = os.path.abspath(folder)
        self._begin = self.folder.rstrip(os.sep) + os.sep
        self._real = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}

    def find_all(self, texts: Sequence[str]) -> FoundFiles:
        """The files that cells name."""
        paths, wrong = [text.strip() for text in texts], {}
        sizes, modified = array("q", bytes(8 * len(paths))), array("q", bytes(8 * len(paths)))
        for index, text in enumerate(paths):
            try:
                paths[index], found = self._find(text)
            except NoSuchFile as error:
                wrong[index] = str(error)
            else:
                sizes[index], modified[index] = found.st_size, found.st_mtime_ns
        return FoundFiles(paths, np.frombuffer(sizes, np.int64), np.frombuffer(modified, np.int64), wrong)

    def _find(self, text: str) -> tuple[str, os.stat_result]:
        """The path below the root that a text stands for, and what the file system says of it."""
        if not text:
            raise NoSuchFile(_NO_PATH)
        path, full = self._placed(text)
        try:
            found = os.lstat(full)
            if stat.S_ISLNK(found.st_mode):
                if not self._holds(os.path.realpath(full)):
                    raise NoSuchFile(OUTSIDE)
                found = os.stat(full)
        except (OSError, ValueError):
            raise NoSuchFile(MISSING) from None
        if not (found.st_size and stat.S_ISREG(found.st_mode)):
            raise NoSuchFile(_unusable(found))
        folder = full[: full.rindex(os.sep)]
        if folder not in self._inside:
            self._inside[folder] = self._holds(os.path.realpath(folder))
        if not self._inside[folder]:
            raise NoSuchFile(OUTSIDE)
        return path, found

    def _placed(self, text: str) -> tuple[str, str]:
        """The path relative to the root, and the whole path, without looking at the disk."""
        if os.sep == "/" and text[0] not in "./" and "/." not in text and "//" not in text and text[-1] != "/":
            return text, self._begin + text  # nothing to resolve, as in nearly every table
        full = os.path.normpath(os.path.join(self.folder, text))
        if not full.startswith(self._begin):
            raise NoSuchFile(OUTSIDE)
        return os.path.relpath(full, self.folder) if os.path.isabs(text) else os.path.normpath(text), full

    def _holds(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)


def _unusable(found: os.stat_result) -> str:
    """What should have been there instead."""
    if stat.S_ISDIR(found.st_mode):
        return "a file, not a folder"
    return "a file that is not empty" if stat.S_ISREG(found.st_mode) else "an ordinary file"

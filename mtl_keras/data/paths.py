"""Paths of files as a table names them: inside one folder, and every one a file that is there."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from mtl_keras.errors import message

OUTSIDE = "a path inside the root folder"


@dataclass(frozen=True)
class FoundFile:
    """A file below a root folder, or the reason why it cannot be used.

    Attributes:
        path: Relative to the root.
        size: In bytes.
        modified: When it was last changed, in nanoseconds.
        wrong: What was expected instead; "" for a file that can be used.
    """

    path: str
    size: int = 0
    modified: int = 0
    wrong: str = ""


class Root:
    """The folder that all files must lie in.

    Args:
        folder: The folder.

    Raises:
        ValueError: It is no folder.

    Example:
        >>> import tempfile
        >>> Root(tempfile.mkdtemp()).find("../secret.jpg").wrong
        'a path inside the root folder'
    """

    def __init__(self, folder: str | PathLike[str]):
        if not Path(folder).is_dir():
            raise ValueError(message("a folder with the files", "pass root=...", root=fspath(folder)))
        self.folder = os.path.abspath(folder)
        self._real = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}

    def find(self, text: str) -> FoundFile:
        """The file that a cell names."""
        text = text.strip()
        if not text or "\0" in text:
            return FoundFile(text, wrong="the path of a file")
        full = os.path.normpath(os.path.join(self.folder, text))
        if not full.startswith(self.folder.rstrip(os.sep) + os.sep):
            return FoundFile(text, wrong=OUTSIDE)
        path = os.path.relpath(full, self.folder) if os.path.isabs(text) else os.path.normpath(text)
        try:
            found = os.lstat(full)
            if stat.S_ISLNK(found.st_mode):
                if not self._holds(os.path.realpath(full)):
                    return FoundFile(path, wrong=OUTSIDE)
                found = os.stat(full)
        except (OSError, ValueError):
            return FoundFile(path, wrong="a file that exists")
        if stat.S_ISDIR(found.st_mode):
            return FoundFile(path, wrong="a file, not a folder")
        if not stat.S_ISREG(found.st_mode):
            return FoundFile(path, wrong="an ordinary file")
        if not found.st_size:
            return FoundFile(path, wrong="a file that is not empty")
        folder = os.path.dirname(full)
        if folder not in self._inside:
            self._inside[folder] = self._holds(os.path.realpath(folder))
        if not self._inside[folder]:
            return FoundFile(path, wrong=OUTSIDE)
        return FoundFile(path, found.st_size, found.st_mtime_ns)

    def find_all(self, texts: Sequence[str]) -> list[FoundFile]:
        """The files that cells name."""
        return [self.find(text) for text in texts]

    def _holds(self, real: str) -> bool:
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

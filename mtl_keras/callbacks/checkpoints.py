"""A folder of checkpoints: each is there whole or not at all, the last few are kept, one run at a time writes."""

import json
import os
import re
import socket
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from mtl_keras.errors import message

_NAME = re.compile(r"checkpoint-(\d+)-(\d+)\.npz\Z")
_STATE = "state.json"
_UNFINISHED = ".unfinished-"
# what reading a damaged file can raise
_DAMAGED = (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError)


@dataclass(frozen=True)
class Checkpoint:
    """One file: where the run was, a state made of JSON, and arrays by name."""

    epoch: int
    step: int
    state: dict[str, Any]
    arrays: dict[str, np.ndarray]


class CheckpointFolder:
    """Writes and reads `checkpoint-<epoch>-<step>.npz`, which numpy can read too.

    Args:
        path: The folder, made where it is not there.
        keep: How many checkpoints stay.
    """

    def __init__(self, path: Path, keep: int):
        self.path = path
        self.keep = keep
        self._lock = filelock.FileLock(path / "lock", timeout=0)
        self._holder = path / "lock.holder"

    def lock(self) -> None:
        """Claim the folder for this process; the claim ends with the process, however that ends.

        Raises:
            ValueError: Another run has claimed it, or the folder cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
            for rest in self.path.glob(f"{_UNFINISHED}*"):
                rest.unlink()
        except filelock.Timeout:
            raise ValueError(
                message(
                    "a folder that no other run writes to",
                    "wait until that run has ended, or choose another folder",
                    folder=str(self.path),
                    used_by=self._holder.read_text(encoding="utf-8") if self._holder.is_file() else "unknown",
                )
            ) from None
        except OSError as error:
            raise ValueError(
                message(
                    "a folder that checkpoints can be written to",
                    "choose another, or give this process the right to write",
                    folder=str(self.path),
                    error=error.strerror,
                )
            ) from error

    def unlock(self) -> None:
        """Give the folder back."""
        if self._lock.is_locked:
            self._lock.release()

    def files(self) -> list[Path]:
        """The checkpoints that are there, the newest first."""
        found = [(_NAME.match(path.name), path) for path in self.path.glob("checkpoint-*.npz")]
        dated = [((int(match[1]), int(match[2])), path) for match, path in found if match]
        return [path for _, path in sorted(dated, reverse=True)]

    def latest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that can be read, and a note on each newer one that cannot."""
        notes: list[str] = []
        for path in self.files():
            try:
                return _read(path), notes
            except _DAMAGED as error:
                notes.append(f"skipped {path}, which is damaged ({error})")
        return None, notes

    def write(self, epoch: int, step: int, state: dict[str, Any], arrays: Iterable[tuple[str, np.ndarray]]) -> Path:
        """Write a checkpoint, then remove the oldest ones.

        Args:
            epoch, step: Epochs finished, and steps done in the epoch after those.
            state: JSON.
            arrays: Names and arrays, asked for one after the other.

        Raises:
            OSError: It cannot be written, for one because the disk is full; those that were there stay.
        """
        name = f"checkpoint-{epoch:06d}-{step:09d}.npz"
        with self._replacing(name) as unfinished, open(unfinished, "wb") as file:
            _write(file, state, arrays)
        for old in self.files()[self.keep :]:
            old.unlink()
        return self.path / name

    def write_text(self, name: str, text: str) -> None:
        """Replace a small file beside the checkpoints by another one; errors as of `write`."""
        with self._replacing(name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")

    @contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        """A path to write to, which takes this name in the folder when it is whole."""
        unfinished = self.path / f"{_UNFINISHED}{name}"
        try:
            yield unfinished
            settle(unfinished, self.path / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            last = self.files()
            text = message(
                f"room for a checkpoint in {self.path}",
                f"make room and start again: the run goes on from {last[0].name}" if last else "make room",
                error=error.strerror or str(error),
            )
            raise OSError(error.errno, text) from error


def settle(unfinished: Path, path: Path) -> None:
    """Bring a file to the disk, then give it its name: after a power cut `path` is the old file or the new one."""
    with open(unfinished, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(file: Any, state: dict[str, Any], arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        dtypes = {}
        for name, array in arrays:
            dtypes[name] = array.dtype.name
            plain = array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array  # bfloat16
            with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(plain), allow_pickle=False)
        archive.writestr(_entry(_STATE), json.dumps({**state, "dtypes": dtypes}))


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without the time of day: clocks jump, to years that archives do not know too."""
    return zipfile.ZipInfo(name)


def _read(path: Path) -> Checkpoint:
    """A whole checkpoint; every byte is read, so that damage shows."""
    match = _NAME.match(path.name)
    assert match is not None
    with zipfile.ZipFile(path) as archive:
        state = json.loads(archive.read(_STATE))
        arrays = {}
        for name, dtype in state.pop("dtypes").items():
            with archive.open(f"{name}.npy") as entry:
                array = np.lib.format.read_array(entry, allow_pickle=False)
                if entry.read(1):
                    raise ValueError(f"{name} is longer than its header says")
            arrays[name] = array if array.dtype.name == dtype else array.view(_dtype(dtype))
    return Checkpoint(int(match[1]), int(match[2]), state, arrays)


def _dtype(name: str) -> Any:
    import ml_dtypes  # comes with TensorFlow; knows the names that numpy does not

    return np.dtype(getattr(ml_dtypes, name))

"""Decoded images, kept in memory or in a file, that can be read in any order."""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.data.room import check_disk, check_memory
from mtl_keras.errors import message

MEMORY = "memory"


class PixelStore:
    """Room for N images of one size, uint8 [N, height, width, channels].

    Args:
        place: `"memory"`, or a folder, in which the images lie as one .npy file and are found again by a later run.
        count: N.
        shape: `(height, width, channels)`.
        key: What the content depends on, in texts; another key is another file.

    Attributes:
        wrong: `{index: reason}` of images that could not be read.
        complete: Whether everything is in it, from an earlier run.

    Raises:
        ValueError: There is too little room.
    """

    def __init__(self, place: str | PathLike[str], count: int, shape: tuple[int, ...], key: Sequence[Any] = ()):
        size = count * int(np.prod(shape))
        self.wrong: dict[int, str] = {}
        self.complete = False
        self._file: Path | None = None
        self.pixels: np.ndarray
        if fspath(place) == MEMORY:
            check_memory(size)
            self.pixels = _aligned_zeros((count, *shape))
        else:
            folder = Path(place)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                do = "choose another, 'memory', or do without the cache"
                given = {"cache": fspath(place), "error": error.strerror}
                raise ValueError(message("a folder for the decoded images", do, **given)) from error
            name = hashlib.sha256(repr((count, shape, *key)).encode()).hexdigest()[:24]
            self._file = folder / f"{name}.npy"
            self._open(size, (count, *shape))

    def _open(self, size: int, shape: tuple[int, ...]) -> None:
        assert self._file is not None
        notes = self._file.with_suffix(".json")
        if notes.is_file() and self._file.is_file():
            # what somebody damaged since is made again
            with contextlib.suppress(OSError, ValueError):
                self.wrong = {int(index): reason for index, reason in json.loads(notes.read_text("utf-8")).items()}
                self.pixels = np.load(self._file, mmap_mode="r")
                self.complete = True
                return
        check_disk(size, self._file.parent)
        # under a name of this process's own until it is whole
        self._unfinished = self._file.with_suffix(f".{os.getpid()}")
        self.pixels = np.lib.format.open_memmap(self._unfinished, "w+", np.uint8, shape)

    def finish(self) -> None:
        """Everything is written: from now on it is read only, and later runs find it."""
        if self._file is not None and not self.complete:
            self.pixels.flush()  # type: ignore[attr-defined]
            os.replace(self._unfinished, self._file)
            # the notes come last: they say that the images are all there
            notes = self._file.with_suffix(".json")
            notes.write_text(json.dumps(self.wrong), encoding="utf-8")
            self.pixels = np.load(self._file, mmap_mode="r")
        self.complete = True

    def reader(self) -> Any:
        """A function from an index, or indices [B], to images, for use in a graph."""
        if self._file is None:
            # a tensor in the same memory: a copy would need the room that was checked for a second time
            with tf.device("CPU:0"):
                pixels = tf.experimental.dlpack.from_dlpack(self.pixels.__dlpack__())
            return lambda index: tf.gather(pixels, index)
        stored, shape = self.pixels, self.pixels.shape[1:]

        def read(index: tf.Tensor) -> tf.Tensor:
            images = tf.numpy_function(lambda i: stored[i], [index], tf.uint8, stateful=False)
            return tf.ensure_shape(images, (*index.shape, *shape))

        return read


def _aligned_zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros, uint8, that begin where TensorFlow can use them in place."""
    size = int(np.prod(shape))
    room = np.zeros(size + _ALIGNED, np.uint8)
    begin = -room.ctypes.data % _ALIGNED
    return room[begin : begin + size].reshape(shape)


_ALIGNED = 64  # bytes, for the widest instructions of a processor

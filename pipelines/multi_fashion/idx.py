"""IDX, the file format of MNIST and Fashion-MNIST, read strictly: the whole array or an error that names the file.

An IDX file is a header of big-endian 4-byte words (the magic number 00 00 08 0d, where 08 means unsigned bytes and d is
the number of dimensions, then the d sizes) and then the bytes themselves.
"""

import gzip
import math
import zlib
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.errors import message

SIDE = 28
CLASSES = 10
AGAIN = "download the file again, it is cut off or damaged"


def read_images(path: str | PathLike[str]) -> np.ndarray:
    """Images uint8 [N, 28, 28] from an IDX file, packed with gzip or not.

    Raises:
        ValueError: The file cannot be opened or unpacked, is cut off, has bytes too many, or holds something else.
    """
    return _read(path, (SIDE, SIDE), "images of 28x28 pixels")


def read_labels(path: str | PathLike[str]) -> np.ndarray:
    """Labels int64 [N], each from 0 to 9, from an IDX file, packed with gzip or not.

    Raises:
        ValueError: As `read_images`, or a label is above 9.
    """
    labels = _read(path, (), "labels").astype(np.int64)
    wrong = np.flatnonzero(labels >= CLASSES)
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            message("labels from 0 to 9", "give the right file", path=fspath(path), row=row, label=int(labels[row]))
        )
    return labels


def write(path: str | PathLike[str], array: np.ndarray) -> None:
    """Write a uint8 array of any shape as an IDX file, packed where the name ends in `.gz`."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    Path(path).write_bytes(gzip.compress(content, mtime=0) if fspath(path).endswith(".gz") else content)


def _read(path: str | PathLike[str], item: tuple[int, ...], what: str) -> np.ndarray:
    data = _unpacked(path)
    header = 4 * (2 + len(item))
    magic = f"000008{1 + len(item):02x}"
    if data[:4].hex() != magic:
        expected = f"an IDX file of {what}, which begins with {magic}"
        raise ValueError(message(expected, "give the right file", path=fspath(path), begins=data[:4].hex()))
    if len(data) < header:
        raise ValueError(message(f"a header of {header} bytes", AGAIN, path=fspath(path), bytes=len(data)))
    count, *size = (int(word) for word in np.frombuffer(data[4:header], ">u4"))
    if tuple(size) != item:
        raise ValueError(message(what, "give the right file", path=fspath(path), size=tuple(size)))
    total = header + count * math.prod(item)
    if len(data) != total:
        expected = f"{total} bytes after unpacking, as the header says"
        raise ValueError(message(expected, AGAIN, path=fspath(path), bytes=len(data)))
    return np.frombuffer(data, np.uint8, offset=header).reshape(count, *item).copy()


def _unpacked(path: str | PathLike[str]) -> bytes:
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            message("an IDX file that can be read", "check the path", path=fspath(path), error=error.strerror)
        ) from error
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(message("a whole gzip file", AGAIN, path=fspath(path), error=str(error))) from error

"""The IDX files of MNIST and Fashion-MNIST, read strictly: the whole array or an error that names the file."""

import gzip
import zlib
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.errors import message

FILES = {
    ("train", "images"): "train-images-idx3-ubyte.gz",
    ("train", "labels"): "train-labels-idx1-ubyte.gz",
    ("test", "images"): "t10k-images-idx3-ubyte.gz",
    ("test", "labels"): "t10k-labels-idx1-ubyte.gz",
}
CLASSES = 10


def read_pairs(folder: str | PathLike[str], part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 28, 28] and labels int64 [N] of one part (`"train"` or `"test"`) of a folder of IDX files."""
    paths = [find(folder, part, what) for what in ("images", "labels")]
    images, labels = read_images(paths[0]), read_labels(paths[1])
    if len(images) != len(labels):
        raise ValueError(
            message(
                "as many labels as images",
                "take both files from the same source",
                images=(fspath(paths[0]), len(images)),
                labels=(fspath(paths[1]), len(labels)),
            )
        )
    return images, labels


def find(folder: str | PathLike[str], part: str, what: str) -> Path:
    """The path of one file of a folder, packed or unpacked."""
    packed = Path(folder) / FILES[part, what]
    for path in (packed, packed.with_suffix("")):
        if path.is_file():
            return path
    raise ValueError(message("an IDX file that exists", "check the folder given with --data", path=fspath(packed)))


def read_images(path: str | PathLike[str]) -> np.ndarray:
    """Images uint8 [N, 28, 28] from an IDX file.

    Raises:
        ValueError: The file cannot be read or unpacked, is cut off, has bytes too many, or holds something else.
    """
    images = _read(path, dimensions=3)
    if images.shape[1:] != (28, 28):
        raise ValueError(
            message("images of 28x28 pixels", "give the right file", path=fspath(path), shape=images.shape)
        )
    return images


def read_labels(path: str | PathLike[str]) -> np.ndarray:
    """Labels int64 [N], each 0 to 9, from an IDX file; raises as `read_images` does."""
    labels = _read(path, dimensions=1).astype(np.int64)
    if len(labels) and labels.max() >= CLASSES:
        row = int(np.flatnonzero(labels >= CLASSES)[0])
        raise ValueError(
            message("labels from 0 to 9", "give the right file", path=fspath(path), row=row, label=int(labels[row]))
        )
    return labels


def _read(path: str | PathLike[str], dimensions: int) -> np.ndarray:
    data = _unpacked(path)
    header = 4 + 4 * dimensions
    magic = data[:4].hex()
    expected = f"000008{dimensions:02x}"  # unsigned bytes, and how many dimensions
    if magic != expected:
        raise ValueError(
            message(f"an IDX file that begins with {expected}", "give the right file", path=fspath(path), begins=magic)
        )
    shape = tuple(int(size) for size in np.frombuffer(data[4:header], ">u4")) if len(data) >= header else ()
    size = int(np.prod(shape, dtype=object)) if shape else 0
    if not shape or len(data) != header + size:
        raise ValueError(
            message(
                f"{header + size} bytes, as the header of the file says",
                "download the file again: it is cut off or damaged",
                path=fspath(path),
                bytes=len(data),
            )
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def _unpacked(path: str | PathLike[str]) -> bytes:
    try:
        raw = Path(path).read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            message(
                "an IDX file, packed with gzip or not", "download the file again", path=fspath(path), error=str(error)
            )
        ) from error

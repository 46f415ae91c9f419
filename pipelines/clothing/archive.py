"""The photos as one .npz file: read it, and take a part of it.

`python -m pipelines.clothing.archive clothing64.npz part.npz` made the part in `data/`.
"""

import sys
import zipfile
import zlib
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from mtl_keras.errors import message

EMBEDDED = Path(__file__).parent / "data" / "clothing64_part.npz"
WHOLE = "clothing64.npz"
PART = 2_150


@dataclass(frozen=True)
class Archive:
    """N photos of 64x64 pixels.

    Attributes:
        jpeg: The files one after the other, uint8.
        offsets: Where each begins and the last ends, int64 [N + 1].
        label: Garment of each, uint8 [N], index into `label_names`.
        label_names: Names of the garments.
        kids: 1 for clothes for children, uint8 [N].
        sender: Who sent the photo, a number, uint16 [N].
        image_id: Name of the photo in the original data set, [N].
    """

    jpeg: np.ndarray
    offsets: np.ndarray
    label: np.ndarray
    label_names: np.ndarray
    kids: np.ndarray
    sender: np.ndarray
    image_id: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def photo(self, index: int) -> bytes:
        """One JPEG file."""
        return self.jpeg[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def part(self, count: int, seed: int = 0) -> "Archive":
        """A random part, in the order of the whole."""
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        photos = [self.photo(index) for index in chosen]
        offsets = np.cumsum([0, *map(len, photos)])
        per_photo = {name: getattr(self, name)[chosen] for name in ("label", "kids", "sender", "image_id")}
        return Archive(np.frombuffer(b"".join(photos), np.uint8), offsets, label_names=self.label_names, **per_photo)

    def write(self, path: str | PathLike[str]) -> None:
        """Write it as an .npz file that `read` understands."""
        np.savez_compressed(path, **{one.name: getattr(self, one.name) for one in fields(self)})


def read(path: str | PathLike[str] = EMBEDDED) -> Archive:
    """The photos in an .npz file, by default those of this repository.

    Args:
        path: The file, or the folder with `clothing64.npz`.

    Raises:
        ValueError: The file cannot be read, lacks a part, or its parts do not go together.
    """
    path = Path(path) / WHOLE if Path(path).is_dir() else path
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            archive = Archive(**{one.name: file[one.name] for one in fields(Archive)})
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        expected = f"an .npz file with {', '.join(one.name for one in fields(Archive))}"
        raise ValueError(message(expected, "give the right file", path=fspath(path), error=str(error)[:200])) from error
    lengths = {len(archive.kids), len(archive.sender), len(archive.image_id), len(archive.offsets) - 1, len(archive)}
    if len(lengths) > 1 or archive.offsets[-1] != len(archive.jpeg):
        raise ValueError(message("as many labels as photos", "give a whole file", path=fspath(path), lengths=lengths))
    return archive


if __name__ == "__main__":
    read(sys.argv[1]).part(PART).write(sys.argv[2])

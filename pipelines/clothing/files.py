"""The photos as files: JPEG files in a folder and a CSV file that names and labels them, as a user has them.

`python -m pipelines.clothing.files FOLDER [clothing64.npz]` writes them.
"""

import csv
import io
import sys
from os import PathLike
from pathlib import Path

import numpy as np

from mtl_keras.errors import message
from pipelines.clothing.archive import EMBEDDED, read

CSV = "clothing.csv"
COLUMNS = ["path", "garment", "kids", "sender"]


def write_files(
    folder: str | PathLike[str],
    source: str | PathLike[str] = EMBEDDED,
    kids_removed: float = 0.5,
    seed: int = 0,
) -> Path:
    """Write `photos/*.jpg` and `clothing.csv`; files that are there already and alike are left as they are.

    Args:
        folder: Where to.
        source: The .npz file or its folder, default the file of this repository.
        kids_removed: Share of the photos whose `kids` cell is left empty, at random, default 0.5.
        seed: Seed of that choice, default 0.

    Returns:
        The CSV file.

    Raises:
        ValueError: The source cannot be read, or the share is out of range.
    """
    if not 0 <= kids_removed < 1:
        raise ValueError(message("a share of the kids labels from 0, below 1", "correct it", kids_removed=kids_removed))
    archive = read(source)
    photos = Path(folder) / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    removed = np.random.default_rng(seed).permutation(len(archive)) < round(kids_removed * len(archive))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    for index in range(len(archive)):
        name = f"{archive.image_id[index]}.jpg"
        _keep(photos / name, archive.photo(index))
        kids = "" if removed[index] else ["no", "yes"][archive.kids[index]]
        writer.writerow([f"photos/{name}", archive.label_names[archive.label[index]], kids, archive.sender[index]])
    _keep(Path(folder) / CSV, table.getvalue().encode())
    return Path(folder) / CSV


def _keep(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


if __name__ == "__main__":
    print(write_files(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else EMBEDDED))

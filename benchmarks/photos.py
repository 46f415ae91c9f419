"""JPEG photos of about 500x400 pixels for measurements, each a collage of the small photos of this repository."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.clothing import archive

TILE, ACROSS, DOWN = 64, 9, 7


def write_photos(folder: Path, count: int, classes: int = 10, seed: int = 0) -> Path:
    """Write `<folder>/<class>/<number>.jpg`: 480 to 520 by 380 to 420 pixels, as large in bytes as photos of that size.

    Args:
        folder: Where to.
        count: How many.
        classes: Folders to divide them into, default 10.
        seed: Of the choice of small photos, default 0.
    """
    whole = archive.read()
    tiles = np.stack([_opened(whole.photo(index)) for index in range(len(whole))])
    rng = np.random.default_rng(seed)
    for number in range(count):
        chosen = tiles[rng.integers(len(tiles), size=DOWN * ACROSS)].reshape(DOWN, ACROSS, TILE, TILE, 3)
        collage = chosen.transpose(0, 2, 1, 3, 4).reshape(DOWN * TILE, ACROSS * TILE, 3)
        height, width = rng.integers(380, 421), rng.integers(480, 521)
        path = folder / f"class_{number % classes:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(collage[:height, :width]).save(path, quality=85)
    return folder


def _opened(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))

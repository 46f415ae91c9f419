"""Where the single images come from: this repository, a folder of IDX files, or a download."""

import hashlib
import tempfile
import urllib.error
import urllib.request
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from mtl_keras.errors import message
from pipelines.multi_fashion import idx
from pipelines.multi_fashion.pairing import SPLITS, SPLITTING, balanced

EMBEDDED = Path(__file__).parent / "data"
PREFIXES = {"train": "train", "test": "t10k"}  # what the two official parts are called on disk
ENDINGS = ("images-idx3-ubyte", "labels-idx1-ubyte")

Source = tuple[np.ndarray, np.ndarray]  # images uint8 [N, 28, 28], labels int64 [N]


def files(folder: str | PathLike[str]) -> dict[str, tuple[Path, Path]]:
    """The files of images and labels of each official part that a folder holds, packed or unpacked.

    The test part has to be there; the training part may be missing, but not half of it.

    Raises:
        ValueError: A file is missing.
    """
    has_train = any(_find(folder, "train", ending) for ending in ENDINGS)
    found = {}
    for part in ("train", "test") if has_train else ("test",):
        paths = []
        for ending in ENDINGS:
            path = _find(folder, part, ending)
            if path is None:
                name = f"{PREFIXES[part]}-{ending}"
                expected = f"the file {name}, or {name}.gz, in the folder of IDX files"
                raise ValueError(message(expected, "add it, or give another folder", folder=fspath(folder)))
            paths.append(path)
        found[part] = (paths[0], paths[1])
    return found


def fingerprint(folder: str | PathLike[str]) -> str:
    """SHA-256 over the names and bytes of a folder's IDX files: the same images, the same fingerprint."""
    digest = hashlib.sha256()
    for path in (path for pair in files(folder).values() for path in pair):
        digest.update(f"{path.name}:{path.stat().st_size}:".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def split_sources(folder: str | PathLike[str], seed: int, side: int) -> dict[str, Source]:
    """The source images of each split, no image in two of them.

    A folder with the official training part gives 5/6 of it for training (50,000) and 1/6 for validation (10,000), and
    the official test part for testing. A folder with the test part alone is cut into 8/10, 1/10 and 1/10 (8,000, 1,000
    and 1,000 of the embedded 10,000).

    Args:
        folder: Holds the IDX files.
        seed: From 0 to 2^32 - 1.
        side: 0 for Fashion-MNIST, 1 for MNIST: each has its own order.

    Raises:
        ValueError: A file is missing or damaged, or a split would get no image.
    """
    parts = {part: _read(*paths) for part, paths in files(folder).items()}
    test = parts["test"]
    if "train" in parts:
        splits = dict(zip(SPLITS, [*_cut(parts["train"], (5, 1), seed, side), test], strict=True))
    else:
        splits = dict(zip(SPLITS, _cut(test, (8, 1, 1), seed, side), strict=True))
    counts = {split: len(labels) for split, (_, labels) in splits.items()}
    if not all(counts.values()):
        raise ValueError(
            message(
                "a source image for each split", "give a source with more images", folder=fspath(folder), images=counts
            )
        )
    return splits


def download(data_dir: str | PathLike[str] | None = None) -> Path:
    """Fetch the full Fashion-MNIST through tensorflow-datasets, once, and give the folder of its IDX files.

    Args:
        data_dir: Where tensorflow-datasets keeps its data; its own folder by default.

    Raises:
        ValueError: It is not there yet and cannot be fetched.
    """
    builder = tfds.builder("fashion_mnist", data_dir=None if data_dir is None else fspath(data_dir))
    folder = Path(builder.data_dir_root) / "fashion_mnist_idx"
    if folder.is_dir():
        return folder
    try:
        if not builder.is_prepared():
            _reach(next(iter(builder.url_infos)))
            builder.download_and_prepare()
        arrays = {part: tfds.as_numpy(builder.as_dataset(split=part, batch_size=-1)) for part in PREFIXES}
    except Exception as error:  # whatever the network, the disk or a missing package raises: one thing to do about it
        raise ValueError(
            message(
                "Fashion-MNIST through tensorflow-datasets",
                "connect to the network, or give the folder of the four IDX files",
                data_dir=fspath(builder.data_dir_root),
                error=f"{type(error).__name__}: {error}",
            )
        ) from error
    # whole or not at all: an interrupted run leaves no half folder behind
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        whole = Path(unfinished) / folder.name
        whole.mkdir()
        for part, prefix in PREFIXES.items():
            idx.write(whole / f"{prefix}-{ENDINGS[0]}", arrays[part]["image"][..., 0])
            idx.write(whole / f"{prefix}-{ENDINGS[1]}", arrays[part]["label"])
        return whole.rename(folder)


def _reach(url: str) -> None:
    """Fail within seconds where there is no network; tensorflow-datasets tries for minutes."""
    try:
        urllib.request.urlopen(url, timeout=15).close()
    except urllib.error.HTTPError:
        return  # the host answered


def _find(folder: str | PathLike[str], part: str, ending: str) -> Path | None:
    unpacked = Path(folder) / f"{PREFIXES[part]}-{ending}"
    return next((path for path in (unpacked.with_name(unpacked.name + ".gz"), unpacked) if path.is_file()), None)


def _read(images_path: Path, labels_path: Path) -> Source:
    images, labels = idx.read_images(images_path), idx.read_labels(labels_path)
    if len(images) != len(labels):
        raise ValueError(
            message(
                "as many labels as images",
                "take both files from the same source",
                **{images_path.name: len(images), labels_path.name: len(labels), "folder": fspath(images_path.parent)},
            )
        )
    return images, labels


def _cut(source: Source, shares: tuple[int, ...], seed: int, side: int) -> list[Source]:
    images, labels = source
    order = balanced(len(images), len(images), [seed, SPLITTING, side])
    places = [len(images) * sum(shares[:i]) // sum(shares) for i in range(1, len(shares))]
    return [(images[part], labels[part]) for part in np.split(order, places)]

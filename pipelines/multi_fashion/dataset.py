"""Multi-Fashion as a tensorflow-datasets builder, and the one function that gives its three splits.

Two 28x28 images lie on a 36x36 canvas, one at the top left and one at the bottom right, combined by maximum. The source
images are split before they are paired: no image of a test pair occurs in any training pair.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from mtl_keras.errors import message
from pipelines.multi_fashion.idx import read_pairs

CANVAS = 36
TASKS = ("top_left", "bottom_right")
SPLITS = ("train", "validation", "test")
EMBEDDED = Path(__file__).parent / "data"
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DIGITS = [str(digit) for digit in range(10)]

Source = tuple[np.ndarray, np.ndarray]  # images, labels


@dataclass
class MultiFashionConfig(tfds.core.BuilderConfig):
    """One way to make the pairs.

    Attributes:
        source: Folder of Fashion-MNIST's IDX files; the embedded one by default, which has the test images only.
        digits: Folder of MNIST's IDX files for the top left (`mixed`), or None for Fashion-MNIST in both corners.
        pairs: How many pairs each split gets.
        seed: Seed of the split of source images and of the pairing.
    """

    source: str = ""
    digits: str | None = None
    pairs: dict[str, int] = field(default_factory=lambda: {"train": 24_000, "validation": 2_000, "test": 2_000})
    seed: int = 0


class MultiFashion(tfds.core.GeneratorBasedBuilder):
    """Pairs of product photos; configs `fashion` (Fashion-MNIST twice) and `mixed` (a digit at the top left)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Sources split before pairing, balanced pairing."}
    BUILDER_CONFIGS = [
        MultiFashionConfig(name="fashion", description="Fashion-MNIST in both corners"),
        MultiFashionConfig(name="mixed", description="MNIST top left, Fashion-MNIST bottom right", digits=""),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        first = FASHION if self.builder_config.digits is None else DIGITS
        features = {
            # zlib packs these small grey images as well as PNG does, and several times faster
            "image": tfds.features.Tensor(shape=(CANVAS, CANVAS, 1), dtype=np.uint8, encoding="zlib"),
            "top_left": tfds.features.ClassLabel(names=first),
            "bottom_right": tfds.features.ClassLabel(names=FASHION),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(features),
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            license="MIT (Fashion-MNIST, Zalando SE)",
            citation=CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        config = self.builder_config
        if config.digits == "":
            raise ValueError(
                message("a folder of MNIST's IDX files for the config mixed", "pass digits=DIR", digits=config.digits)
            )
        fashion = split_sources(config.source or EMBEDDED, config.seed)
        first = fashion if config.digits is None else split_sources(config.digits, config.seed + 1)
        return {
            split: self._generate_examples(first[split], fashion[split], config.pairs[split], [config.seed, number])
            for number, split in enumerate(SPLITS)
        }

    def _generate_examples(
        self, first: Source, second: Source, count: int, seed: list[int]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        one, two = pair(len(first[0]), len(second[0]), count, seed)
        for key, (i, j) in enumerate(zip(one, two, strict=True)):
            yield (
                key,
                {"image": combine(first[0][i], second[0][j]), "top_left": first[1][i], "bottom_right": second[1][j]},
            )


def split_sources(folder: str | PathLike[str], seed: int) -> dict[str, Source]:
    """Source images of each split, none in two of them.

    A folder with the training files gives training (5/6) and validation (1/6) from those and the test files for
    testing; a folder with the test files alone is cut into 8/10, 1/10 and 1/10.
    """
    test = read_pairs(folder, "test")
    rng = np.random.default_rng([seed, 7])
    if any((Path(folder) / name).exists() for name in ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte")):
        images, labels = read_pairs(folder, "train")
        order = rng.permutation(len(images))
        train, validation = np.split(order, [len(images) * 5 // 6])
        parts = {"train": (images[train], labels[train]), "validation": (images[validation], labels[validation])}
        return {**parts, "test": test}
    images, labels = test
    if len(images) < 10:
        raise ValueError(
            message("at least 10 source images", "give a larger source", folder=fspath(folder), n=len(images))
        )
    chosen = np.split(rng.permutation(len(images)), [len(images) * 8 // 10, len(images) * 9 // 10])
    return {split: (images[part], labels[part]) for split, part in zip(SPLITS, chosen, strict=True)}


def pair(first: int, second: int, count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `count` pairs: whole permutations in a row, so that all images occur equally often, to one."""
    rng = np.random.default_rng(seed)

    def indices(size: int) -> np.ndarray:
        rounds = -(-count // size)
        return np.concatenate([rng.permutation(size) for _ in range(rounds)])[:count]

    return indices(first), indices(second)


def combine(top_left: np.ndarray, bottom_right: np.ndarray) -> np.ndarray:
    """Two images [28, 28] on one canvas [36, 36, 1], the brighter pixel where they overlap."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    canvas[:28, :28] = top_left
    canvas[-28:, -28:] = np.maximum(canvas[-28:, -28:], bottom_right)
    return canvas[..., None]


@dataclass(frozen=True)
class Splits:
    """The three datasets of `{"image", "top_left", "bottom_right"}`, of known length, and the label names."""

    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    labels: dict[str, list[str]]


def load(
    data_dir: str | PathLike[str],
    source: str | PathLike[str] | None = None,
    config: str = "fashion",
    digits: str | PathLike[str] | None = None,
    pairs: dict[str, int] | None = None,
    seed: int = 0,
) -> Splits:
    """Build the pairs, once for each way to make them, and open them.

    Args:
        data_dir: Where the built data set is kept, for the next time.
        source: Folder of Fashion-MNIST's IDX files; the embedded 10,000 images by default.
        config: `"fashion"` or `"mixed"`.
        digits: Folder of MNIST's IDX files, for `mixed`.
        pairs: Pairs per split, default 24,000 / 2,000 / 2,000.
        seed: Seed of splitting and pairing.

    Raises:
        ValueError: A file is missing or damaged, or a number of pairs is not positive.
    """
    chosen = next((c for c in MultiFashion.BUILDER_CONFIGS if c.name == config), None)
    if chosen is None:
        raise ValueError(message("the config fashion or mixed", "choose one", config=config))
    pairs = {**chosen.pairs, **(pairs or {})}
    if set(pairs) != set(SPLITS) or min(pairs.values()) < 1:
        raise ValueError(message(f"at least one pair for each of {list(SPLITS)}", "correct the numbers", pairs=pairs))
    folder = fspath(source or EMBEDDED)
    digits = None if config == "fashion" else fspath(digits or "")
    # different pairs in different folders: the name says what they were made from
    made_from = repr((Path(folder).resolve(), digits and Path(digits).resolve(), sorted(pairs.items()), seed))
    name = f"{config}_{hashlib.sha256(made_from.encode()).hexdigest()[:10]}"
    description = chosen.description
    full = MultiFashionConfig(name=name, description=description, source=folder, digits=digits, pairs=pairs, seed=seed)
    tfds.disable_progress_bar()
    builder = MultiFashion(data_dir=fspath(data_dir), config=full)
    builder.download_and_prepare()
    opened = {split: builder.as_dataset(split=split, shuffle_files=False) for split in SPLITS}
    return Splits(**opened, labels={task: builder.info.features[task].names for task in TASKS})


def download(data_dir: str | PathLike[str]) -> Path:
    """Fetch the full Fashion-MNIST through tensorflow-datasets and write it as IDX files; needs a network."""
    folder = Path(data_dir) / "fashion_mnist_idx"
    for part in ("train", "test"):
        data = tfds.load("fashion_mnist", split=part, data_dir=fspath(data_dir), batch_size=-1, download=True)
        arrays = tfds.as_numpy(data)
        _write_idx(folder, part, arrays["image"][..., 0], arrays["label"])
    return folder


def _write_idx(folder: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "train" if part == "train" else "t10k"
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"{prefix}-{kind}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())


CITATION = r"""
@inproceedings{sener2018multi, title={Multi-Task Learning as Multi-Objective Optimization},
  author={Sener, Ozan and Koltun, Vladlen}, booktitle={NeurIPS}, year={2018}}
@inproceedings{lin2019pareto, title={Pareto Multi-Task Learning},
  author={Lin, Xi and Zhen, Hui-Ling and Li, Zhenhua and Zhang, Qingfu and Kwong, Sam}, booktitle={NeurIPS},
  year={2019}}
@article{xiao2017fashion, title={Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author={Xiao, Han and Rasul, Kashif and Vollgraf, Roland}, journal={arXiv:1708.07747}, year={2017}}
"""

"""Multi-Fashion as a tensorflow-datasets builder, and `load`, the one call that gives its three splits.

README.md and CITATIONS.bib beside this file are the card of the data set: tensorflow-datasets reads them from here.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import absl.logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from mtl_keras.errors import message
from pipelines.multi_fashion import sources
from pipelines.multi_fashion.pairing import CANVAS, SIDES, SPLITS, combine, pair

TASKS = SIDES
SIZES = {"train": 24_000, "validation": 2_000, "test": 2_000}
CONFIGS = {"fashion": "Fashion-MNIST in both corners", "mixed": "MNIST top left, Fashion-MNIST bottom right"}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DIGITS = [str(digit) for digit in range(10)]

download = sources.download


@dataclass
class MultiFashionConfig(tfds.core.BuilderConfig):
    """One way to make the pairs; `make_config` gives it a name of its own.

    Attributes:
        source: Folder of Fashion-MNIST's IDX files; by default the embedded one, which has the test images only.
        mixed: Whether MNIST takes the top left.
        mnist: Folder of MNIST's IDX files, for `mixed`.
        sizes: How many pairs each split gets, default 24,000 / 2,000 / 2,000.
        seed: Seed of the split of the source images and of the pairs, default 0.
    """

    source: str = fspath(sources.EMBEDDED)
    mixed: bool = False
    mnist: str | None = None
    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    seed: int = 0


class MultiFashion(tfds.core.GeneratorBasedBuilder):
    """Two small images on one canvas, the class of each to be told; configs `fashion` and `mixed`.

    Sources: Sener, Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018; Lin et al., Pareto
    Multi-Task Learning, NeurIPS 2019. Departures, to keep the splits honest: see README.md.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Source images split before they are paired; balanced, seeded pairs."}
    BUILDER_CONFIGS = [
        MultiFashionConfig(name="fashion", description=CONFIGS["fashion"]),
        MultiFashionConfig(name="mixed", description=CONFIGS["mixed"], mixed=True),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            # zlib packs these small grey images as well as PNG does, and several times faster
            "image": tfds.features.Tensor(shape=(CANVAS, CANVAS, 1), dtype=np.uint8, encoding="zlib"),
            "top_left": tfds.features.ClassLabel(names=DIGITS if self.builder_config.mixed else FASHION),
            "bottom_right": tfds.features.ClassLabel(names=FASHION),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            license="Fashion-MNIST: MIT, (c) 2017 Zalando SE",
            disable_shuffling=True,  # the pairs are in random order already: example n on disk is pair n
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        config = self.builder_config
        fashion = sources.split_sources(config.source, config.seed, side=0)
        first = sources.split_sources(_mnist_folder(config), config.seed, side=1) if config.mixed else fashion
        return {split: self._generate_examples(first[split], fashion[split], split) for split in SPLITS}

    def _generate_examples(
        self, first: sources.Source, second: sources.Source, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        counts = (len(first[1]), len(second[1]))
        indices = pair(counts, self.builder_config.sizes[split], self.builder_config.seed, split)
        for key, (i, j) in enumerate(zip(*indices, strict=True)):
            image = combine(first[0][i], second[0][j])
            yield key, {"image": image, "top_left": first[1][i], "bottom_right": second[1][j]}


@dataclass(frozen=True)
class Splits:
    """The three datasets of `{"image", "top_left", "bottom_right"}`, of known length, and the names of the classes."""

    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    labels: dict[str, list[str]]


def load(
    data_dir: str | PathLike[str] | None = None,
    source: str | PathLike[str] | None = None,
    config: str = "fashion",
    mnist: str | PathLike[str] | None = None,
    sizes: dict[str, int] | None = None,
    seed: int = 0,
    download: bool = False,
) -> Splits:
    """Build the pairs, once for each way to make them, and open them.

    Images are uint8 [36, 36, 1] from 0 to 255, labels int64 scalars; every dataset knows its length, is not batched,
    and gives its pairs in the same order each time.

    Args:
        data_dir: Where the built data set is kept for the next time; by default where tensorflow-datasets keeps its
            own, in the user's home.
        source: Folder of Fashion-MNIST's IDX files: the two of the test part, or all four; by default the embedded test
            part.
        config: `"fashion"` (default) or `"mixed"`.
        mnist: Folder of MNIST's IDX files, for `mixed` and only for it.
        sizes: Pairs for each split, default 24,000 / 2,000 / 2,000; a split that is not named keeps its default.
        seed: Seed of the split of the source images and of the pairs, from 0 (default) to 2^32 - 1.
        download: Fetch the full Fashion-MNIST through tensorflow-datasets instead of reading `source`.

    Raises:
        ValueError: A file is missing or damaged, an argument is out of range, or the download is not to be had.

    Example: `load().train.batch(128)` on the images of this repository; `load(source="fashion_mnist")` on a folder.
    """
    if download and source is not None:
        raise ValueError(message("either download or source", "leave one out", source=fspath(source)))
    if download:
        source = sources.download(data_dir)
    made = make_config(config, source, mnist, sizes, seed)
    with _quiet():
        builder = MultiFashion(data_dir=None if data_dir is None else fspath(data_dir), config=made)
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        # whoever trains knows best where to cache
        read = tfds.ReadConfig(try_autocache=False)
        opened = {split: builder.as_dataset(split=split, shuffle_files=False, read_config=read) for split in SPLITS}
    return Splits(**opened, labels={task: builder.info.features[task].names for task in TASKS})


def make_config(
    config: str = "fashion",
    source: str | PathLike[str] | None = None,
    mnist: str | PathLike[str] | None = None,
    sizes: dict[str, int] | None = None,
    seed: int = 0,
) -> MultiFashionConfig:
    """A builder config whose name stands for its images, sizes and seed, so that no two share a folder on disk.

    The arguments are those of `load`. The name holds a hash of the source files' bytes, not of their place.
    """
    if config not in CONFIGS:
        raise ValueError(message(f"a config among {list(CONFIGS)}", "choose one", config=config))
    if config == "fashion" and mnist is not None:
        raise ValueError(
            message("a folder of MNIST only for the config mixed", 'pass config="mixed"', mnist=fspath(mnist))
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(message("a whole seed from 0 to 4294967295", "choose another", seed=seed))
    made = MultiFashionConfig(
        name=config,
        source=fspath(source or sources.EMBEDDED),
        mixed=config == "mixed",
        mnist=None if mnist is None else fspath(mnist),
        sizes=_checked_sizes(sizes),
        seed=seed,
    )
    folders = [made.source, _mnist_folder(made)] if made.mixed else [made.source]
    contents = repr((made.sizes, made.seed, [sources.fingerprint(folder) for folder in folders]))
    made.name = f"{config}_{hashlib.sha256(contents.encode()).hexdigest()[:12]}"
    made.description = f"{CONFIGS[config]}; pairs: {made.sizes}, seed: {seed}"
    return made


def _checked_sizes(sizes: dict[str, int] | None) -> dict[str, int]:
    checked = {**SIZES, **(sizes or {})}
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in checked.values())
    if not whole or list(checked) != list(SPLITS):
        raise ValueError(
            message(f"a number of pairs above 0 for some of {list(SPLITS)}", "correct the sizes", sizes=sizes)
        )
    return checked


def _mnist_folder(config: MultiFashionConfig) -> str:
    if config.mnist is None:
        raise ValueError(
            message(
                "a folder of MNIST's IDX files for the config mixed",
                "pass one, --digits DIR in the pipeline",
                mnist=None,
            )
        )
    return config.mnist


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tensorflow-datasets from saying that it downloads, which it does not, and warning of its own old parts."""
    tfds.disable_progress_bar()
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)

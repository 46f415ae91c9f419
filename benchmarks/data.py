"""How fast data come: against hand-written tf.data, against Keras' own loader, and against what a training step takes.

The ways that are compared make passes over the same files in turn, in an order drawn anew in each round, so that what
else the machine does meets all alike. A ratio is the median of the rounds' ratios. Processor time is given beside the
clock: it says what a way costs where the machine is shared.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import ROOT, publish, table
from benchmarks.photos import write_photos
from mtl_keras.data import augment, tfrecord
from mtl_keras.export._timing import time_side_by_side
from pipelines.clothing.files import write_files

BATCH, SIDE, BUFFER = 64, 128, 4096
OURS = "mtl_keras"
# tf.image.resize(images, size) in keras 3.15.1; tests/benchmarks holds that it is so
NOT_THE_SAME = (
    "Keras' utility does not antialias when it makes photos smaller: it does less, and small things flicker. "
    "The other two do. mtl_keras decodes these photos at half their size before, which looks the same, see Images."
)
STEPS = [augment.Flip(), augment.Shift(), augment.Zoom(), augment.Colour()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    add = parser.add_argument
    add("--photos", type=int, default=5_000, help="photos of about 500x400 pixels, default 5,000")
    add("--rounds", type=int, default=5, help="passes of each way that are counted, default 5")
    add("--examples", type=int, default=100_000, help="examples over which memory is watched, default 100,000")
    add("--epochs", type=int, default=20, help="pauses between epochs of each length, default 20")
    add("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="measure these alone")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            text = PARTS[name](Path(folder), options)
            print(f"\n{text}", flush=True)
            publish(f"data_{name}", text, ROOT / "docs" / "data.md")


# photos


def photos(folder: Path, options: argparse.Namespace) -> str:
    """Photos in one folder per class: decode, resize, flip, recolour, batch."""
    root = write_photos(folder / "photos", options.photos)
    steps = [augment.Flip(), augment.Colour(hue=0.0)]
    source = mtl.data.from_directory(root, image_size=SIDE, splits=mtl.data.Splits(0, 0), check="headers")
    ways = {
        OURS: source.batches(BATCH, training=True, augment=steps),
        "tf.data, tuned by hand": photos_by_hand(root),
        "image_dataset_from_directory, map": photos_by_keras(root),
    }
    return report(
        f"{options.photos:,} JPEG photos of about 500x400 pixels: decode, resize to {SIDE}x{SIDE}, flip and recolour "
        f"at random, batch. {NOT_THE_SAME}",
        measure(ways, options.rounds),
        options.photos // BATCH * BATCH,
    )


def photos_by_hand(root: Path) -> tf.data.Dataset:
    """The same by somebody who knows tf.data well."""
    paths = sorted(map(str, root.rglob("*.jpg")))
    names = sorted({Path(path).parent.name for path in paths})
    labels = [names.index(Path(path).parent.name) for path in paths]

    def load(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), 3, dct_method="INTEGER_ACCURATE")
        image = tf.image.resize(image, (SIDE, SIDE), antialias=True) / 255.0
        image = tf.image.random_flip_left_right(image)
        image = tf.image.random_brightness(image, 0.2)
        image = tf.image.random_contrast(image, 0.8, 1.2)
        image = tf.image.random_saturation(image, 0.8, 1.2)
        return tf.clip_by_value(image, 0.0, 1.0), label

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths))
    return dataset.map(load, tf.data.AUTOTUNE).batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def photos_by_keras(root: Path) -> tf.data.Dataset:
    """The same by Keras' utility and its layers."""
    # it prints what it finds
    dataset = keras.utils.image_dataset_from_directory(root, batch_size=BATCH, image_size=(SIDE, SIDE), verbose=False)
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomBrightness(0.2),
            keras.layers.RandomContrast(0.2),
            keras.layers.RandomSaturation((0.4, 0.6)),
        ]
    )

    def change(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return layers(images, training=True) / 255.0, labels

    return dataset.map(change, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


# records


def records(folder: Path, options: argparse.Namespace) -> str:
    """TFRecord files: encoded photos, and the bytes of small images."""
    files = write_photo_records(folder, options.photos)
    features = {"image": tfrecord.ImageFile(SIDE, check="headers")}
    source = mtl.data.from_tfrecord(files, features, ["label"], mtl.data.Splits(0, 0), shuffle_buffer=BUFFER)
    ways = {OURS: source.batches(BATCH, training=True), "TFRecordDataset, by hand": photo_records_by_hand(files)}
    encoded = report(
        f"{options.photos:,} such photos in 4 TFRecord files: read, shuffle, parse, decode (at half their size, and "
        "whole by hand), resize, batch.",
        measure(ways, options.rounds),
        options.photos // BATCH * BATCH,
    )
    small = 50_000
    raw = report(
        f"{small:,} images of 64x64 pixels in 4 TFRecord files as raw bytes: read, shuffle, parse, batch.",
        measure(small_records(folder, small), options.rounds),
        small // BATCH * BATCH,
    )
    return f"{encoded}\n\n{raw}"


def small_records(folder: Path, count: int) -> dict[str, tf.data.Dataset]:
    """Ways to read random images of 64x64 pixels that are stored as raw bytes."""
    arrays = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)
    made = mtl.data.from_arrays(arrays, {"label": np.arange(count) % 10}, splits=mtl.data.Splits(0, 0))
    written = mtl.data.write_tfrecord(made, folder / f"small_{count}", shards=4, images="raw")
    return {
        OURS: mtl.data.from_tfrecord(folder / f"small_{count}", shuffle_buffer=BUFFER).batches(BATCH, training=True),
        "TFRecordDataset, by hand": small_records_by_hand([str(path) for path in written["train"]]),
    }


def write_photo_records(folder: Path, count: int) -> list[str]:
    root = folder / "photos" if (folder / "photos").is_dir() else write_photos(folder / "photos", count)
    paths = sorted(root.rglob("*.jpg"), key=lambda path: path.name)
    files = [str(folder / f"photos-{shard:05d}-of-00004.tfrecord") for shard in range(4)]
    for shard, file in enumerate(files):
        with tf.io.TFRecordWriter(file) as writer:
            for path in paths[shard::4]:
                example = tf.train.Example()
                example.features.feature["image"].bytes_list.value.append(path.read_bytes())
                example.features.feature["label"].int64_list.value.append(int(path.parent.name[-2:]))
                writer.write(example.SerializeToString())
    return files


def _read_by_hand(files: list[str]) -> tf.data.Dataset:
    in_turns = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files))
    read = partial(tf.data.TFRecordDataset, buffer_size=2**20)
    return in_turns.interleave(
        read, cycle_length=4, block_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
    ).shuffle(BUFFER)


def photo_records_by_hand(files: list[str]) -> tf.data.Dataset:
    wanted = {"image": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}

    def load(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored = tf.io.parse_single_example(record, wanted)
        image = tf.io.decode_jpeg(stored["image"], 3, dct_method="INTEGER_ACCURATE")
        return tf.image.resize(image, (SIDE, SIDE), antialias=True) / 255.0, stored["label"]

    dataset = _read_by_hand(files).map(load, tf.data.AUTOTUNE)
    return dataset.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def small_records_by_hand(files: list[str]) -> tf.data.Dataset:
    wanted = {"image": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}

    def parse(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored = tf.io.parse_example(batch, wanted)
        images = tf.reshape(tf.io.decode_raw(stored["image"], tf.uint8), (BATCH, 64, 64, 3))
        return tf.cast(images, tf.float32) * (1 / 255), stored["label"]

    batches = _read_by_hand(files).batch(BATCH, drop_remainder=True)
    return batches.map(parse, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


# waiting and memory


def waiting(folder: Path, options: argparse.Namespace) -> str:
    """The share of a training step that is spent waiting for the next batch."""
    source = clothing(folder, cache="memory")
    rows = []
    for name, trunk in (("Conv((32, 64))", mtl.trunks.Conv((32, 64))), ("Residual()", mtl.trunks.Residual())):
        model = mtl.build(source.input(), mtl.sharing.Hard(trunk), source.tasks())
        model.compile("adam")
        waited, took = [], []
        for number, (wait, step) in enumerate(_waits(model, source.batches(BATCH, training=True, augment=STEPS))):
            if number >= 10:  # the first ones trace and fill the buffers
                waited.append(wait)
                took.append(step)
        rows.append([f"`{name}`", f"{1e3 * median(took):.0f}", f"{sum(waited) / (sum(waited) + sum(took)):.2%}"])
    text = (
        "Training on 64x64 photos that are kept decoded in memory, moved, zoomed and recoloured at random: how long a "
        "step takes, and which share of the time `fit` would wait for the next batch."
    )
    return f"{text}\n\n{table(['trunk', 'step, ms', 'waiting'], rows)}"


def _waits(model: Any, dataset: tf.data.Dataset, epochs: int = 3) -> Iterator[tuple[float, float]]:
    """Seconds until the next batch is there, and of the training step on it."""
    for _ in range(epochs):
        batches = iter(dataset)
        for _ in range(len(dataset)):
            began = time.perf_counter()
            batch = next(batches)
            there = time.perf_counter()
            model.train_on_batch(*batch)
            yield there - began, time.perf_counter() - there


def epochs(folder: Path, options: argparse.Namespace) -> str:
    """How long `fit` stands still between two epochs: with the tuning of pipelines by TensorFlow, and without."""
    # the wait depends on when an epoch ends, since the thread looks after 10 ms, 20 ms, 40 ms and so on
    sizes = (10_000, 14_000, 20_000, 28_000)
    rows = []
    for way, dataset in small_records(folder, max(sizes)).items():
        seen = Pauses()
        for size in sizes:
            inputs = keras.Input((64, 64, 3))
            means = keras.layers.Flatten()(keras.layers.AveragePooling2D(64)(inputs))
            made = keras.layers.Dense(10, activation="softmax", name="label")(means)
            model = keras.Model(inputs, {"label": made} if way == OURS else made)
            model.compile("sgd", "sparse_categorical_crossentropy")
            part = dataset.take(size // BATCH).apply(tf.data.experimental.assert_cardinality(size // BATCH))
            model.fit(part, epochs=1 + options.epochs, verbose=0, callbacks=[seen], shuffle=False)
        share = sum(seen.pauses) / sum(seen.took)
        longer = sum(pause > 0.2 for pause in seen.pauses)
        spread = [f"{value:.2f}" for value in (median(seen.took), median(seen.pauses), max(seen.pauses))]
        rows.append([way, *spread, str(longer), f"{share:.1%}"])
    head = ["way", "median epoch, s", "median pause, s", "longest", "over 0.2 s", "of the time"]
    text = (
        f"Plain Keras, a small model, {len(sizes) * options.epochs} epochs of 10,000 to 28,000 images from "
        "TFRecord files: how long `fit` stands still from the end of an epoch to the first batch of the next, which "
        f"fills a buffer of {BUFFER:,} records first."
    )
    return f"{text}\n\n{table(head, rows)}"


class Pauses(keras.callbacks.Callback):
    """Seconds from the end of each epoch to that of the next, and of them those before the first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self.took: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if not batch and self._epoch:
            self.pauses.append(time.perf_counter() - self._ended)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        if epoch:
            self.took.append(now - self._ended)
        self._ended = now


def memory(folder: Path, options: argparse.Namespace) -> str:
    """Memory of a process that reads on and on."""
    rows = []
    for kind in SOURCES:
        command = [sys.executable, "-m", "benchmarks.data_memory", kind, str(folder), str(options.examples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        held = [float(line) for line in done.stdout.split()]
        rows.append([kind, *(f"{size:,.0f}" for size in (held[0], median(held), max(held), held[-1]))])
    head = ["source", "after a tenth", "median", "most", "at the end"]
    text = f"Memory of a process, MB, while it reads, decodes and augments {options.examples:,} images of 64x64 pixels:"
    return f"{text}\n\n{table(head, rows)}"


def clothing(folder: Path, cache: str | None = None) -> mtl.data.Source:
    """The small photos of this repository as JPEG files and a CSV file."""
    file = write_files(folder / "clothing", kids_removed=0.5)
    return mtl.data.from_csv(file, "path", ["garment", "kids"], image_size=64, check="headers", cache=cache)


def clothing_records(folder: Path) -> mtl.data.Source:
    """The same as TFRecord files."""
    mtl.data.write_tfrecord(clothing(folder), folder / "clothing_records", shards=4, overwrite=True)
    return mtl.data.from_tfrecord(folder / "clothing_records")


# measuring


def measure(ways: Mapping[str, tf.data.Dataset], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of the processor of a pass of each way, in rounds; the first pass is not counted.

    A pass ends with its last batch. What follows is that TensorFlow takes the iterator down: see `epochs`.
    """
    seen: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}

    def read(way: str) -> None:
        began, used = time.perf_counter(), time.process_time()
        batches = iter(ways[way])  # held until the clock was read
        for _ in batches:
            pass
        seen[way].append((time.perf_counter() - began, time.process_time() - used))

    time_side_by_side({way: partial(read, way) for way in ways}, rounds, warm_up=1)
    return {way: of[1:] for way, of in seen.items()}


def report(text: str, seen: Mapping[str, list[tuple[float, float]]], examples: int) -> str:
    rows = []
    for way, passes in seen.items():
        clock, used = (
            median(other[index] / ours[index] for other, ours in zip(passes, seen[OURS], strict=True))
            for index in (0, 1)
        )
        speed = examples / median(seconds for seconds, _ in passes)
        cost = 1e3 * median(seconds for _, seconds in passes) / examples
        rows.append([way, f"{speed:,.0f}", f"{cost:.2f}", f"{clock:.2f}", f"{used:.2f}"])
    head = ["way", "examples a second", "processor ms each", "times ours, clock", "times ours, processor"]
    return f"{text}\n\n{table(head, rows)}"


SOURCES = {"JPEG files": clothing, "TFRecord files": clothing_records}
PARTS = {"photos": photos, "records": records, "waiting": waiting, "epochs": epochs, "memory": memory}

if __name__ == "__main__":
    main()

"""Multi-Fashion from images to a checked LiteRT model: data, model, fit, evaluate, export, report.

Run it with `python -m pipelines.multi_fashion`; read it as an example of an ordinary `model.fit` script.
"""

import argparse
import time
from pathlib import Path

import absl.logging
import keras
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.cli.train_run import resuming
from mtl_keras.finished_run import FinishedRun, check_output
from pipelines.multi_fashion import dataset
from pipelines.options import parser, place_of, positive

BEFORE = {"scale": 1 / 255, "pixels": "grey, 0..255, 36x36"}
TRUNKS = {
    "conv": lambda: mtl.trunks.Conv((32, 64, 64), dense=(128,), dropout=0.3),
    "residual": lambda: mtl.trunks.Residual((16, 32, 64), 1),
    "reference": lambda: mtl.trunks.Conv((64, 128), pool=(1, 2), pooling="average", padding="valid"),
}


def main(arguments: list[str] | None = None) -> Path:
    """Run the whole pipeline; returns the version folder (of several workers the chief's only)."""
    options = parse(arguments)
    strategy = distribute.strategy(options.strategy)
    check_output(options.output)
    absl.logging.set_verbosity("error")
    keras.config.set_dtype_policy(options.precision)

    with distribute.chief_first(strategy):
        source = dataset.download(options.build) if options.download else options.data
        print(f"Data: pairs of images from {source or 'this repository'}, built in {options.build}")
        pairs = {"train": options.pairs} if options.pairs else None
        splits = dataset.load(options.build, source, options.config, options.digits, pairs, options.seed)
    train, validation, test = batches(splits, options.batch_size, options.seed)

    # after the data: building them for the first time may have drawn numbers
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model = make_model(splits.labels, options.trunk)
    model.compile(keras.optimizers.Adam(options.learning_rate), weighting=options.weighting, scope=options.scope)

    board = mtl.callbacks.TaskBoard(place_of(options, "multi_fashion"))
    print(f"Training: {model.count_params():,} parameters, {len(train)} steps an epoch, {options.epochs} epochs")
    began = time.monotonic()
    history = model.fit(
        train,
        validation_data=validation,
        epochs=options.epochs,
        verbose=0,
        callbacks=[mtl.callbacks.Progress(), board, *resuming(options.resume)],
    )
    seconds = time.monotonic() - began
    print(f"Trained in {seconds:.0f} s. See the curves with: {board.how_to_open()}")

    logs = model.evaluate(test, return_dict=True, verbose=0)
    if not distribute.is_chief():
        distribute.wait_for_all(strategy)
        return options.output
    few = next(iter(test.unbatch().batch(12)))
    finished = FinishedRun(
        "Multi-Fashion",
        model,
        history.history,
        seconds,
        logs,
        few,
        BEFORE,
        vars(options),
        grey="gray_r",
        resume=options.resume,
    )
    version = finished.write(options.output)
    distribute.wait_for_all(strategy)
    return version


def make_model(labels: dict[str, list[str]], trunk: str = "conv") -> mtl.MultiTaskModel:
    """One trunk, one classifier per corner."""
    inputs = keras.Input((dataset.CANVAS, dataset.CANVAS, 1), name="image")
    tasks = [mtl.Task(name, mtl.heads.Classifier(labels=labels[name])) for name in dataset.TASKS]
    return mtl.build(inputs, mtl.sharing.Hard(TRUNKS[trunk]()), tasks, name="multi_fashion")


def batches(splits: dataset.Splits, batch_size: int, seed: int) -> tuple[tf.data.Dataset, ...]:
    """Train, validation and test as batches of `(image in 0..1, {task: label})`."""

    def to_batch(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        image = tf.cast(example["image"], tf.float32) * BEFORE["scale"]
        return image, {task: example[task] for task in dataset.TASKS}

    options = tf.data.Options()
    options.autotune.enabled = False  # an epoch that ends might wait for the thread that tunes, see docs/data.md

    def prepared(split: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        split = split.cache()
        if shuffle:
            split = split.shuffle(len(split), seed=seed)
        batches = split.batch(batch_size).map(to_batch, tf.data.AUTOTUNE)
        return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

    return prepared(splits.train, True), prepared(splits.validation, False), prepared(splits.test, False)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    description = "Train, evaluate and export one model for both corners of Multi-Fashion."
    made = parser("multi_fashion", description, TRUNKS, epochs=6, batch_size=128)
    add = made.add_argument
    add("--build", type=Path, default=Path("runs/data"), help="folder of the built data set")
    source = made.add_mutually_exclusive_group().add_argument
    source("--data", type=Path, help="folder with Fashion-MNIST's IDX files; default: in this repository")
    source("--download", action="store_true", help="fetch the full Fashion-MNIST through tensorflow-datasets")
    add("--config", default="fashion", choices=["fashion", "mixed"], help="mixed: a digit at the top left")
    add("--digits", type=Path, default=None, help="folder with MNIST's IDX files, for mixed")
    add("--pairs", type=positive, default=None, help="training pairs; default: 24,000")
    return made.parse_args(arguments)

"""Multi-Fashion from images to a checked LiteRT model: data, model, fit, evaluate, export, report.

Run it with `python -m pipelines.multi_fashion`; read it as an example of an ordinary `model.fit` script.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import absl.logging
import keras
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.analysis import RunReport, draw_predictions, draw_training, results_table, score_logs
from pipelines.multi_fashion import dataset

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
    absl.logging.set_verbosity("error")
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy(options.precision)

    with distribute.chief_first(strategy):
        source = dataset.download(options.build) if options.download else options.data
        print(f"Data: pairs of images from {source or 'this repository'}, built in {options.build}")
        pairs = {"train": options.pairs} if options.pairs else None
        splits = dataset.load(options.build, source, options.config, options.digits, pairs, options.seed)
    train, validation, test = batches(splits, options.batch_size, options.seed)

    with strategy.scope():
        model = make_model(splits.labels, options.trunk)
    model.compile(keras.optimizers.Adam(1e-3), weighting=options.weighting, scope=options.scope)

    board = mtl.callbacks.TaskBoard(options.runs / time.strftime("multi_fashion-%Y%m%d-%H%M%S"))
    print(f"Training: {model.count_params():,} parameters, {len(train)} steps an epoch, {options.epochs} epochs")
    began = time.monotonic()
    history = model.fit(
        train,
        validation_data=validation,
        epochs=options.epochs,
        verbose=0,
        callbacks=[mtl.callbacks.Progress(), board],
    )
    seconds = time.monotonic() - began
    print(f"Trained in {seconds:.0f} s. See the curves with: {_runnable(board.how_to_open())}")

    logs = model.evaluate(test, return_dict=True, verbose=0)
    found, overall = score_logs(model, logs)
    metrics = {**logs, "overall": overall}
    if not distribute.is_chief():
        distribute.wait_for_all(strategy)
        return options.output

    print("Exporting, and comparing every output with the Keras model ...")
    shared, separate = mtl.export.compare_with_single_tasks(model)
    images, labels = next(iter(test.unbatch().batch(12)))
    rows = results_table(found, overall, shared, separate)

    def extras(folder: Path, manifest: Any) -> None:
        draw_predictions(folder / "predictions.png", model, images, labels, grey="gray_r")
        draw_training(folder / "training.png", history.history, dict.fromkeys(model.task_names, "accuracy"))
        report = RunReport("Multi-Fashion", rows, history.history, seconds, vars(options))
        report.write(folder / "report.md", manifest)

    version = mtl.export.write_version(
        model,
        options.output,
        before=BEFORE,
        inputs={"image": images.numpy()},
        metrics=metrics,
        extras=extras,
    )
    distribute.wait_for_all(strategy)
    print(f"\n{rows}\n\nWritten to {version}: {', '.join(sorted(path.name for path in version.iterdir()))}")
    return version


def _runnable(command: str) -> str:
    """The command as it can be typed: with its folder where the virtual environment is not activated."""
    if shutil.which(command.split()[0]):
        return command
    return os.path.join(os.path.relpath(Path(sys.executable).parent), command)


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

    def prepared(split: tf.data.Dataset, shuffle: bool) -> tf.data.Dataset:
        split = split.cache()
        if shuffle:
            split = split.shuffle(len(split), seed=seed)
        return split.batch(batch_size).map(to_batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return prepared(splits.train, True), prepared(splits.validation, False), prepared(splits.test, False)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.multi_fashion",
        description="Train, evaluate and export one model for both corners of Multi-Fashion.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--epochs", type=_positive, default=7)
    add("--batch-size", type=_positive, default=128)
    add(
        "--weighting",
        default="equal",
        choices=mtl.weightings.names(),
        metavar="NAME",
        help="see mtl-keras list weightings",
    )
    add("--scope", default="features", choices=["parameters", "features", "last_layer"], help="for gradient methods")
    add("--trunk", default="conv", choices=list(TRUNKS))
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("savedmodels/multi_fashion"), help="folder of the versions")
    add("--runs", type=Path, default=Path("runs"), help="folder of the TensorBoard logs")
    add("--build", type=Path, default=Path("runs/data"), help="folder of the built data set")
    add("--data", type=Path, default=None, help="folder with Fashion-MNIST's IDX files; default: in this repository")
    add("--config", default="fashion", choices=["fashion", "mixed"], help="mixed: a digit at the top left")
    add("--digits", type=Path, default=None, help="folder with MNIST's IDX files, for mixed")
    add("--download", action="store_true", help="fetch the full Fashion-MNIST through tensorflow-datasets")
    add("--pairs", type=_positive, default=None, help="training pairs; default: 24,000")
    add("--strategy", default="auto", choices=distribute.NAMES)
    add("--precision", default="float32", choices=["float32", "mixed_float16", "mixed_bfloat16"])
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {value}")
    return value

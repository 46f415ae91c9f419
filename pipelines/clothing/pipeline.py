"""Clothing from JPEG files and a CSV file to a checked LiteRT model.

Run it with `python -m pipelines.clothing`; read it as an example of a script on one's own photos: all that lies between
the CSV file and `model.fit` is `mtl.data.from_csv`.
"""

import argparse
import os
import time
from pathlib import Path

import absl.logging
import keras

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.cli.train_run import resuming
from mtl_keras.data import Splits, augment
from mtl_keras.data.baselines import baselines
from mtl_keras.finished_run import FinishedRun, check_output
from pipelines.clothing.archive import EMBEDDED
from pipelines.clothing.files import write_files
from pipelines.options import parser, place_of

TRUNKS = {
    "conv": lambda: mtl.trunks.Conv((32, 64, 128, 128), batch_norm=True, output="average", dropout=0.3),
    "residual": lambda: mtl.trunks.Residual((32, 64, 128, 256), 1, dropout=0.3),
}


def main(arguments: list[str] | None = None) -> Path:
    """Run the whole pipeline; returns the version folder."""
    options = parse(arguments)
    absl.logging.set_verbosity("error")
    strategy = distribute.strategy(options.strategy)
    check_output(options.output)
    keras.config.set_dtype_policy(options.precision)

    with distribute.chief_first(strategy):
        file = write_files(options.build, options.data, options.kids_removed, options.seed)
    source = photos(file, options.seed)
    print(f"Data: {source.about['used']:,} photos from {file}, in splits of {source.sizes}")
    print(f"Labels to train on: {source.label_counts('train')}")

    # after the data: building them for the first time may have drawn numbers
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        sharing = mtl.sharing.Hard(TRUNKS[options.trunk]())
        model = mtl.build(source.input(), sharing, source.tasks(), name="clothing")
    steps = [augment.Flip(), augment.Shift(), augment.Zoom(), augment.Colour()]
    train = source.batches(options.batch_size, training=True, augment=steps, strategy=strategy)
    falling = keras.optimizers.schedules.CosineDecay(options.learning_rate, options.epochs * len(train))
    model.compile(keras.optimizers.Adam(falling), weighting=options.weighting, scope=options.scope)

    validation = source.batches(options.batch_size, strategy=strategy)
    board = mtl.callbacks.TaskBoard(place_of(options, "clothing"))
    stop = mtl.callbacks.EarlyStopping(patience=10)
    print(f"Training: {model.count_params():,} parameters, {len(train)} steps an epoch, {options.epochs} epochs")
    began = time.monotonic()
    callbacks = [mtl.callbacks.Progress(), board, stop, *resuming(options.resume)]
    history = model.fit(train, validation_data=validation, epochs=options.epochs, verbose=0, callbacks=callbacks)
    seconds = time.monotonic() - began
    print(f"Trained in {seconds:.0f} s. See the curves with: {board.how_to_open()}")

    test = source.batches(options.batch_size, split="test", strategy=strategy)
    logs = model.evaluate(test, return_dict=True, verbose=0)
    if not distribute.is_chief():
        distribute.wait_for_all(strategy)
        return options.output
    few = next(iter(source.batches(12, split="test")))
    constant = ", ".join(f"{task} {value:.4f}" for task, value in baselines(source).items())
    note = f"Always the most common class of the training photos: {constant}."
    settings = vars(options)
    finished = FinishedRun(
        "Clothing",
        model,
        history.history,
        seconds,
        logs,
        few,
        source.before,
        settings,
        note=note,
        resume=options.resume,
    )
    version = finished.write(options.output)
    distribute.wait_for_all(strategy)
    return version


def photos(file: Path, seed: int) -> mtl.data.Source:
    """The photos that `write_files` wrote, in splits; whoever judges the model has to judge it on the same ones."""
    # one sender's photos look alike: they must not be in training and test at once
    splits = Splits(val=0.15, test=0.15, seed=seed, group="sender", stratify="garment")
    tasks = ["garment:class", "kids:class"]
    return mtl.data.from_csv(file, "path", tasks, image_size=64, splits=splits, cache="memory", seed=seed)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    description = "Train, evaluate and export one model for garment and kids on photos of clothes."
    made = parser("clothing", description, TRUNKS, epochs=40, batch_size=64)
    add = made.add_argument
    add("--data", type=Path, default=Path(os.path.relpath(EMBEDDED)), help="clothing64.npz or its folder")
    add("--build", type=Path, default=Path("runs/data/clothing"), help="folder for the JPEG files and the CSV file")
    add("--kids-removed", type=float, default=0.5, help="share of the kids labels that are removed at random")
    return made.parse_args(arguments)

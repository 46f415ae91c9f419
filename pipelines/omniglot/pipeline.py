"""Omniglot's alphabets from drawings to a checked LiteRT model: eight data sets, eight tasks, one model.

Run it with `python -m pipelines.omniglot`; read it as an example of a script on several data sets: `mtl.data.mix` makes
one of them, and every drawing trains the head of its own alphabet only.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import absl.logging
import keras
import numpy as np

import mtl_keras as mtl
from mtl_keras import distribute
from mtl_keras.cli.train_run import resuming
from mtl_keras.data import augment
from mtl_keras.finished_run import FinishedRun, check_output
from pipelines.omniglot import alphabets
from pipelines.options import parser, place_of

TRUNKS = {
    "conv": lambda: mtl.trunks.Conv((32, 64, 128), dense=(256,), dropout=0.3),
    "residual": lambda: mtl.trunks.Residual((32, 64, 128), 1),
}


def main(arguments: list[str] | None = None) -> Path:
    """Run the whole pipeline; returns the version folder (of several workers the chief's only)."""
    options = parse(arguments)
    absl.logging.set_verbosity("error")
    strategy = distribute.strategy(options.strategy)
    check_output(options.output)
    keras.config.set_dtype_policy(options.precision)

    source = alphabets.mixed(options.by, options.data, options.seed)
    print(f"Data: drawings of {len(source.task_names)} alphabets from {options.data}, in splits of {source.sizes}")
    print(f"Labels to train on: {source.label_counts('train')}")

    # after the data: building them for the first time may have drawn numbers
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        sharing = mtl.sharing.Hard(TRUNKS[options.trunk]())
        model = mtl.build(source.input(), sharing, source.tasks(), name="omniglot")
    model.compile(keras.optimizers.Adam(options.learning_rate), weighting=options.weighting, scope=options.scope)

    steps = [augment.Rotate(15), augment.Zoom(0.8, 1.2, stretch=0.2), augment.Shift()]
    if options.alphabet_per_batch:
        train = source.task_batches(options.batch_size, augment=steps, strategy=strategy)
    else:
        train = source.batches(options.batch_size, training=True, augment=steps, strategy=strategy)
    validation = source.batches(options.batch_size, strategy=strategy)
    board = mtl.callbacks.TaskBoard(place_of(options, "omniglot"))
    print(f"Training: {model.count_params():,} parameters, {len(train)} steps an epoch, {options.epochs} epochs")
    began = time.monotonic()
    callbacks = [mtl.callbacks.Progress(), board, *resuming(options.resume)]
    history = model.fit(train, validation_data=validation, epochs=options.epochs, verbose=0, callbacks=callbacks)
    seconds = time.monotonic() - began
    print(f"Trained in {seconds:.0f} s. See the curves with: {board.how_to_open()}")

    test = source.batches(options.batch_size, split="test", strategy=strategy)
    logs = model.evaluate(test, return_dict=True, verbose=0)
    if not distribute.is_chief():
        distribute.wait_for_all(strategy)
        return options.output
    run = FinishedRun(
        "Omniglot, eight alphabets",
        model,
        history.history,
        seconds,
        logs,
        examples=two_of_each(source),
        before=source.before,
        settings={**vars(options), "augment": ", ".join(map(str, steps))},
        grey="gray_r",
        only_labelled=True,
        resume=options.resume,
    )
    version = run.write(options.output)
    distribute.wait_for_all(strategy)
    return version


def two_of_each(source: mtl.data.Source) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The first and the last test drawing of every alphabet: images, labels and weights."""
    x, y, w = next(iter(source.batches(source.sizes["test"], split="test")))
    chosen = [int(index) for task in source.task_names for index in np.flatnonzero(w[task])[[0, -1]]]

    def pick(values: Any) -> np.ndarray:
        return np.asarray(values)[chosen]

    return pick(x), {task: pick(of) for task, of in y.items()}, {task: pick(of) for task, of in w.items()}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    description = "Train, evaluate and export one model for the characters of eight alphabets."
    made = parser("omniglot", description, TRUNKS, epochs=30, batch_size=64)
    add = made.add_argument
    add("--data", type=Path, default=Path(os.path.relpath(alphabets.EMBEDDED)), help="the .npz file of the drawings")
    by = "how an epoch is divided among the alphabets: size, uniform or a temperature"
    add("--by", type=_by, default="size", metavar="HOW", help=by)
    add("--alphabet-per-batch", action="store_true", help="make every batch of one alphabet")
    return made.parse_args(arguments)


def _by(text: str) -> str | float:
    try:
        return text if text in ("size", "uniform") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"size, uniform or a temperature, not {text}") from None

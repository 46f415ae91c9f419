"""How many images a second one to all devices of this machine train on, and how far from as many times one that is.

The batch grows with the number of devices (weak scaling): each device has `--batch-size` images, all of one batch are
one step. All numbers of devices take turns within every round, and the median round counts. Efficiency is the rate
divided by the number of devices and by the rate of one. Without GPUs logical devices of the processor are used, which
share its cores: then the table says what replicas cost, not what they bring.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import keras
import numpy as np
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import RESULTS, record

TRUNKS = {"conv": lambda: mtl.trunks.Conv((32, 64, 128)), "residual": mtl.trunks.Residual}


def main(arguments: list[str] | None = None) -> list[dict[str, float]]:
    """Measure, print and write `benchmarks/results/scaling.md` and `.json`."""
    options = parse(arguments)
    devices = _devices(options.devices)
    keras.config.set_dtype_policy(options.precision)
    counts = range(1, len(devices) + 1)
    epochs = {count: prepare(options, count) for count in counts}
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(options.rounds):
        for count, epoch in epochs.items():
            rates[count].append(options.steps * options.batch_size * count / epoch())
    rows = table({count: median(of) for count, of in rates.items()})
    text = report(options, devices, rows)
    record("scaling", text)
    (RESULTS / "scaling.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(text)
    return rows


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--devices", type=int, help="how many at most, default all GPUs, or 2 of the processor")
    parser.add_argument("--batch-size", type=int, default=32, help="images for each device, default 32")
    parser.add_argument("--size", type=int, default=32, help="height and width of the images, default 32")
    parser.add_argument("--trunk", choices=sorted(TRUNKS), default="conv", help="default conv")
    parser.add_argument("--tasks", type=int, default=3, help="heads of 10 classes, default 3")
    parser.add_argument("--weighting", default="equal", help="default equal")
    parser.add_argument("--scope", default="features", help="for methods that read gradients, default features")
    parser.add_argument("--precision", default="float32", help="or mixed_float16, mixed_bfloat16")
    parser.add_argument("--steps", type=int, default=20, help="steps in a round, default 20")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace, count: int) -> Callable[[], float]:
    """A model on so many devices, traced and warm; each call trains one round and returns its seconds."""
    keras.utils.set_random_seed(0)
    tasks = [mtl.Task(f"task{i}", mtl.heads.Classifier(10)) for i in range(options.tasks)]
    with mtl.distribute.strategy("mirrored" if count > 1 else "one", devices=count).scope():
        inputs = keras.Input((options.size, options.size, 3), name="image")
        model = mtl.build(inputs, mtl.sharing.Hard(TRUNKS[options.trunk]()), tasks)
    model.compile("adam", weighting=options.weighting, scope=options.scope)
    fit = partial(model.fit, batches(options, count), steps_per_epoch=options.steps, verbose=0)
    fit(epochs=1)

    def epoch() -> float:
        clock = _Clock()
        fit(epochs=1, callbacks=[clock])
        return clock.seconds

    return epoch


class _Clock(keras.callbacks.Callback):
    """The seconds of an epoch from the end of its first step on, scaled up to all steps: `fit`'s start is left out."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._first = 0.0
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._steps += 1
        if not self._first:
            _ready(self.model)
            self._first = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        _ready(self.model)
        self.seconds = (time.perf_counter() - self._first) * self._steps / (self._steps - 1)


def _ready(model: keras.Model) -> None:
    """Wait for the devices: steps are queued, not awaited."""
    float(keras.ops.convert_to_numpy(model.optimizer.iterations))


def batches(options: argparse.Namespace, count: int) -> tf.data.Dataset:
    """One batch of random images, again and again: reading is not what is measured."""
    rng = np.random.default_rng(0)
    size = options.batch_size * count
    x = rng.normal(size=(size, options.size, options.size, 3)).astype("float32")
    y = {f"task{i}": rng.integers(0, 10, size).astype("int32") for i in range(options.tasks)}
    return tf.data.Dataset.from_tensors((x, y)).cache().repeat().prefetch(tf.data.AUTOTUNE)


def table(rates: dict[int, float]) -> list[dict[str, float]]:
    """One row for each number of devices."""
    return [
        {"devices": count, "images_per_second": round(rate, 1), "efficiency": round(rate / (count * rates[1]), 3)}
        for count, rate in rates.items()
    ]


def report(options: argparse.Namespace, devices: list[str], rows: list[dict[str, float]]) -> str:
    lines = [f"| {row['devices']} | {row['images_per_second']:.0f} | {row['efficiency']:.0%} |" for row in rows]
    return "\n".join(
        [
            "# Scaling over the devices of one machine",
            "",
            f"{len(devices)} devices ({devices[0]}), {os.cpu_count()} processors, TensorFlow {tf.__version__}, Keras"
            f" {keras.version()}, Python {platform.python_version()}. {options.trunk} trunk, {options.tasks} tasks,"
            f" weighting {options.weighting!r}, {options.precision}; {options.batch_size} images of"
            f" {options.size}x{options.size} for each device, {options.steps} steps a round, medians of"
            f" {options.rounds} rounds.",
            "",
            "| devices | images a second | efficiency |",
            "|---|---|---|",
            *lines,
            "",
            "Made by `python -m benchmarks.scaling`.",
            "",
        ]
    )


def _devices(at_most: int | None) -> list[str]:
    """Names of the devices to use; logical ones of the processor where there is no GPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
        return names[: at_most or len(names)]
    number = at_most or 2
    processor = tf.config.list_physical_devices("CPU")[0]
    try:
        logical = [tf.config.LogicalDeviceConfiguration()] * number
        tf.config.set_logical_device_configuration(processor, logical)
    except RuntimeError:  # TensorFlow has run before in this process, with what there was then
        number = min(number, len(tf.config.list_logical_devices("CPU")))
    return ["logical devices of the processor"] * number


if __name__ == "__main__":
    main()

"""What it costs to measure the tasks' gradients while training: `callbacks.WatchGradients`.

Models train in turns, a few steps at a time, one of them without measurements and the others measuring at every step.
Counted is processor time, which hardly depends on what else the machine does; the first round, in which steps are
traced, is left out. The table goes into docs/weightings.md.
"""

import argparse
import time
from statistics import median

import keras
import numpy as np
import tensorflow as tf

import mtl_keras as mtl
from benchmarks.document import publish

SIDE, BATCH = 36, 64
TASKS = (2, 5, 10)
SCOPES = ("parameters", "last_layer", "features")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch_gradients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each model behind the first, default 7")
    parser.add_argument("--steps", type=int, default=15, help="steps in each turn, default 15")
    options = parser.parse_args(arguments)
    rows = [[str(count), *ratios(count, options.rounds, options.steps)] for count in TASKS]
    text = table(rows)
    publish("watch_gradients", text)
    print(text)


def ratios(count: int, rounds: int, steps: int) -> list[str]:
    """For each scope, the time of a step that measures by that of one that does not."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH, SIDE, SIDE, 1), np.float32)
    y = {f"task{i}": rng.integers(0, 10, BATCH) for i in range(count)}
    data = tf.data.Dataset.from_tensors((x, y)).repeat(steps).prefetch(1)
    models = {scope: model(count) for scope in (None, *SCOPES)}
    seen: dict[str | None, list[float]] = {scope: [] for scope in models}
    for _ in range(rounds + 1):
        for scope, one in models.items():
            callbacks = [] if scope is None else [mtl.callbacks.WatchGradients(gradients=1, scope=scope)]
            begin = time.process_time()
            one.fit(data, callbacks=callbacks, verbose=0)
            seen[scope].append(time.process_time() - begin)
    plain = median(seen[None][1:])
    return [f"{median(seen[scope][1:]) / plain:.2f}" for scope in SCOPES]


def model(count: int) -> mtl.MultiTaskModel:
    """A small convolutional trunk with classifiers, all weighted equally."""
    keras.utils.set_random_seed(0)
    tasks = [mtl.Task(f"task{i}", mtl.heads.Classifier(10)) for i in range(count)]
    made = mtl.build(keras.Input((SIDE, SIDE, 1)), mtl.sharing.Hard(mtl.trunks.Conv((32, 64))), tasks)
    made.compile("adam")
    return made


def table(rows: list[list[str]]) -> str:
    head = ["tasks", *(f'`scope="{scope}"`' for scope in SCOPES)]
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return (
        f"{text}\n\nTime of a step that measures, by that of one that does not: a trunk of two convolutions on "
        f"{SIDE}x{SIDE} images, batches of {BATCH}, TensorFlow {tf.__version__} on CPU, processor time, medians. With "
        "`gradients=100` one step in a hundred costs this much. Written by `python -m benchmarks.watch_gradients`."
    )


if __name__ == "__main__":
    main()

"""A small run with everything in it that has state, and processes to try it in."""

import hashlib
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import mtl_keras as mtl

LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
EPOCHS, BATCH, EXAMPLES = 4, 8, 160
_SECONDS = 1800  # for one attempt, which takes a few where the machine is idle


def graph(width: int = 16) -> mtl.MultiTaskModel:
    x = keras.Input((6,), name="x")
    h = keras.layers.Dense(width, "relu", name="hidden")(x)
    h = keras.layers.Dropout(0.2, name="drop")(keras.layers.BatchNormalization(name="norm")(h))
    kind = keras.layers.Dense(3, "softmax", name="kind")(h)
    return mtl.MultiTaskModel(x, {"kind": kind, "size": keras.layers.Dense(1, name="size")(h)})


def compiled(width: int = 16, weighting: str = "uncertainty") -> mtl.MultiTaskModel:
    keras.utils.set_random_seed(1)
    model = graph(width)
    optimizer = mtl.optimizers.per_task("adam", {"size": keras.optimizers.SGD(0.05, momentum=0.9)})
    metrics = {"kind": ["accuracy"], "size": ["mae"]}
    model.compile(optimizer, loss=LOSSES, metrics=metrics, weighting=weighting)
    return model


def arrays(examples: int = EXAMPLES) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(examples, 6)).astype("float32")
    return x, {"kind": rng.integers(0, 3, examples).astype("int32"), "size": x[:, :1] - x[:, 1:2]}


def data(x: Any, y: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(EXAMPLES, seed=3).batch(BATCH)


def callbacks(folder: Path, every: int, gradients: int = 0) -> list[keras.callbacks.Callback]:
    return [
        mtl.callbacks.TaskBoard(folder / "board", every=100, gradients=gradients),
        mtl.callbacks.Progress(io.StringIO()),
        mtl.callbacks.EarlyStopping(patience=10**6),
        mtl.callbacks.TaskEarlyStopping(["kind"], patience=10**6),
        mtl.callbacks.Schedule({"kind": {0: 1.0, EPOCHS: 0.5}}, smooth=True),
        mtl.callbacks.ReduceOnPlateau("size", patience=2, factor=0.9, lowest=0.01),
        mtl.callbacks.BestModel(folder / "best.keras"),
        mtl.callbacks.Resume(folder / "resume", every=every),
    ]


def digest(model: keras.Model) -> str:
    found = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        found.update(keras.ops.convert_to_numpy(variable).tobytes())
    return found.hexdigest()


def in_child(work: Callable[[], None], errors: Path, kill: Callable[[int], None] | None = None) -> int:
    """Run `work` in a fork; returns the status as `os.waitpid` gives it."""
    child = os.fork()
    if child == 0:
        with open(errors, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
            signal.alarm(_SECONDS)
            try:
                work()
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        os._exit(0)
    if kill is not None:
        kill(child)
    return os.waitpid(child, 0)[1]


def whether_finite(model: keras.Model) -> str:
    fine = all(np.isfinite(keras.ops.convert_to_numpy(v)).all() for v in model.weights)
    return "all weights stay finite" if fine else "WEIGHTS ARE NOT FINITE"

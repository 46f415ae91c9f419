"""Data go on where they were when the run ended, in the order that they had; what cannot is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from ended_early import Interrupt, PulledPlugError, assert_alike, run, shuffled

import mtl_keras as mtl


def test_data_without_end_go_on_where_they_were(tmp_path):
    """steps_per_epoch takes batches from one pass that never ends; three steps an epoch, five batches in the data."""

    def endless(folder, interrupt=None):
        keras.utils.set_random_seed(4)
        model = tiny.model(dropout=0.3)
        model.compile("adam", loss=tiny.LOSSES, steps_per_execution=2)
        data = shuffled(*tiny.arrays(40)).repeat()
        listed = [mtl.callbacks.Resume(folder, every=1), *([interrupt] if interrupt else [])]
        try:
            return model, model.fit(data, epochs=3, steps_per_epoch=3, callbacks=listed, verbose=0)
        except PulledPlugError:
            return None

    whole = endless(tmp_path / "whole")
    for step in (2, 2):
        endless(tmp_path / "interrupted", Interrupt(step))
    assert_alike(endless(tmp_path / "interrupted"), whole)


class Shuffling(keras.utils.PyDataset):
    """Draws another order at the end of every epoch; Keras shuffles the batches once more."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y
        self.rng = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.x)).reshape(-1, 4)

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        rows = self.order[index]
        return self.x[rows], {task: labels[rows] for task, labels in self.y.items()}


def two_at_once(x, y):
    """Training examples, and beside them fewer others, which begin again within an epoch in a new order."""
    train, other = (
        tf.data.Dataset.from_tensor_slices((x[:n], {task: labels[:n] for task, labels in y.items()}))
        .shuffle(16, seed=n)
        .batch(4)
        for n in (16, 12)
    )
    return {"x": train, "weighting_data": other}


DATA = {
    "arrays": lambda x, y: {"x": x, "y": y, "batch_size": 4},
    "PyDataset": lambda x, y: {"x": Shuffling(x, y)},
    "two at once": two_at_once,
}


@pytest.mark.parametrize("data", DATA)
def test_orders_go_on(tmp_path, data):
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")

    def small(folder, interrupt=None):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((3,))
        features = keras.layers.Dense(2, name="features")(inputs)
        model = mtl.MultiTaskModel(inputs, {task: keras.layers.Dense(1, name=task)(features) for task in ("a", "b")})
        model.compile(
            "adam", loss={"a": "mse", "b": "mse"}, weighting="auto_lambda" if data == "two at once" else "equal"
        )
        listed = [mtl.callbacks.Resume(folder, every=1), *([interrupt] if interrupt else [])]
        try:
            given = DATA[data](x, {"a": x[:, 0], "b": x[:, 1]})
            return model, model.fit(**given, epochs=3, callbacks=listed, verbose=0)
        except PulledPlugError:
            return None

    assert small(tmp_path / "interrupted", Interrupt(10)) is None  # in the third epoch
    assert_alike(small(tmp_path / "interrupted"), small(tmp_path / "whole"))


def test_passes_begin_when_they_are_read():
    """Guards what going on leans on: a shuffle draws its seeds when a pass begins, read or not."""
    data = tf.data.Dataset.range(8).shuffle(8, seed=1)
    orders = [list(data.as_numpy_iterator()) for _ in range(4)]
    assert orders[2] != orders[3]
    other = tf.data.Dataset.range(8).shuffle(8, seed=1)
    for _ in range(2):
        iter(other)
    passes = tf.data.Dataset.range(1).flat_map(lambda _: other)
    for _ in range(3):
        iter(passes)  # draws nothing
    assert [list(passes.as_numpy_iterator()) for _ in range(2)] == orders[2:]


def test_data_that_cannot_be_read_again_are_refused(tmp_path):
    x, y = tiny.arrays(8)
    generator = ((x, y) for _ in range(3))
    tiny.refused(
        lambda: run(tmp_path, data={"x": generator}),
        "Expected data that can be read again from the beginning. Received: x='generator'. "
        "Do pass a tf.data.Dataset, arrays or a keras.utils.PyDataset.",
    )
    tiny.refused(
        lambda: run(tmp_path, steps_per_epoch=3),
        "Expected a dataset that repeats without end where steps_per_epoch is given. Received: batches=5. "
        "Do pass a tf.data.Dataset with .repeat(), or leave steps_per_epoch out.",
    )
    tiny.refused(
        lambda: run(tmp_path, data={"x": x, "y": y}, steps_per_epoch=3),
        "Expected a dataset that repeats without end where steps_per_epoch is given. Received: x='ndarray'. "
        "Do pass a tf.data.Dataset with .repeat(), or leave steps_per_epoch out.",
    )
    tiny.refused(
        lambda: run(tmp_path, initial_epoch=1),
        "Expected one callback that says with which epoch to begin. Received: callbacks=['Resume'], initial_epoch=1. "
        "Do pass Resume alone, without initial_epoch.",
    )
    tiny.refused(
        lambda: run(tmp_path, callbacks=[mtl.callbacks.Resume(tmp_path)]),
        "Expected one callback that says with which epoch to begin. Received: callbacks=['Resume', 'Resume'], "
        "initial_epoch=0. Do pass Resume alone, without initial_epoch.",
    )
    tiny.refused(
        lambda: mtl.callbacks.Resume(tmp_path, every=0),
        "Expected a whole number of at least 1 for every. Received: every=0. Do correct it.",
    )

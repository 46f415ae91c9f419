"""Runs that end early, and what they are compared with."""

import keras
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras.callbacks import plain

EPOCHS, STEPS = 4, 5


class PulledPlugError(Exception):
    """Stands for a process that ends without a word."""


class Interrupt(keras.callbacks.Callback):
    """Does something at one of the steps that this process trains."""

    state_attributes = ()

    def __init__(self, step, action=None, validating=False):
        super().__init__()
        self.step, self.action, self.validating, self.seen = step, action or self.pull, validating, 0

    @staticmethod
    def pull():
        raise PulledPlugError

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step and not self.validating:
            self.action()

    def on_test_batch_begin(self, batch, logs=None):
        if self.seen == self.step and self.validating:
            self.action()


def shuffled(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40, seed=3).batch(8)


def run(folder, interrupt=None, data=None, epochs=EPOCHS, callbacks=(), optimizer=None, every=None, **kwargs):
    """The run of these tests from its beginning, as a program would do it."""
    keras.utils.set_random_seed(4)
    x, y = tiny.arrays(STEPS * 8)
    model = tiny.model(batch_norm=True, dropout=0.3)
    metrics = {"a": ["accuracy"], "b": ["mae"]}
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss=tiny.LOSSES, metrics=metrics, weighting="dwa")
    # the order in which they are given does not matter
    listed = [mtl.callbacks.Resume(folder, every=every), *callbacks, *([interrupt] if interrupt else [])]
    fit = {"validation_data": tiny.dataset(x, y), "verbose": 0, "epochs": epochs, **kwargs}
    try:
        if isinstance(data, dict):
            history = model.fit(**data, **fit, callbacks=listed)
        else:
            history = model.fit(shuffled(x, y) if data is None else data(x, y), **fit, callbacks=listed)
    except PulledPlugError:
        return None
    return model, history


def reducing():
    """Callbacks of Keras and of this library that remember what was before."""
    return [
        keras.callbacks.ReduceLROnPlateau("val_b_mae", mode="min", factor=0.5, patience=1, min_delta=10.0),
        mtl.callbacks.EarlyStopping("overall", patience=EPOCHS),
        mtl.callbacks.Schedule({"b": {1: 0.5}}),
        mtl.callbacks.TaskEarlyStopping(patience={"a": 1, "b": EPOCHS}, min_delta=100.0),
        mtl.callbacks.ReduceOnPlateau("a", patience=1, min_delta=100.0, factor=0.5),
    ]


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in [*model.variables, *model.optimizer.variables]]


def assert_alike(one, other):
    (model, history), (other_model, other_history) = one, other
    assert history.history == other_history.history
    assert history.epoch == other_history.epoch == list(range(len(history.epoch)))
    assert all(plain.same(a, b) for a, b in zip(state(model), state(other_model), strict=True))

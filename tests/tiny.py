"""Small graphs and data that many tests share."""

from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras.weightings.base import SCOPES, GradientAggregator, GradientWeighting, register

ROOT = Path(__file__).parents[1]  # of the repository, for PYTHONPATH of fresh processes
LOSSES = {"a": "sparse_categorical_crossentropy", "b": "mse"}
FOUR_LOSSES = {**LOSSES, "c": "mae", "d": "binary_crossentropy"}


def graph(batch_norm=False, dropout=0.0, regularizer=None, four=False, seed=3):
    """Inputs and outputs of a small convolutional graph: classes `a` (5), a number `b`; if `four`, `c` and `d` too."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8, 1), name="image")
    h = keras.layers.Conv2D(4, 3, use_bias=not batch_norm, name="conv", kernel_regularizer=regularizer)(x)
    if batch_norm:
        h = keras.layers.BatchNormalization(name="norm")(h)
    h = keras.layers.Flatten(name="flat")(keras.layers.ReLU(name="relu")(h))
    if dropout:
        h = keras.layers.Dropout(dropout, name="drop")(h)
    h = keras.layers.Dense(8, "relu", name="dense", kernel_regularizer=regularizer)(h)
    a = keras.layers.Dense(5, "softmax", name="a", kernel_regularizer=regularizer)(h)
    outputs = {"a": a, "b": keras.layers.Dense(1, name="b")(h)}
    if four:
        outputs["c"] = keras.layers.Dense(1, name="c")(h)
        outputs["d"] = keras.layers.Dense(1, "sigmoid", name="d")(h)
    return x, outputs


def model(**kwargs):
    """A MultiTaskModel on `graph`."""
    return mtl.MultiTaskModel(*graph(**kwargs))


def arrays(n=45, seed=0, four=False):
    """Images and complete labels for `graph`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8, 8, 1)).astype("float32")
    y = {"a": rng.integers(0, 5, n).astype("int32"), "b": rng.normal(size=n).astype("float32")}
    if four:
        y["c"] = rng.normal(size=n).astype("float32")
        y["d"] = rng.integers(0, 2, n).astype("float32")
    return x, y


def dataset(x, y, batch_size=16, weights=None):
    """A tf.data pipeline in the given order."""
    parts = (x, y) if weights is None else (x, y, weights)
    return tf.data.Dataset.from_tensor_slices(parts).batch(batch_size)


@cache
def replicas(n=2):
    """The strategy of n CPU replicas, one object for all tests.

    TensorFlow numbers the collective ops of every strategy from the same start, so those of two strategies on the same
    devices are taken for each other's ("Shape mismatch in the collective instance"); a plain reduction has none.
    """
    devices = [f"CPU:{i}" for i in range(n)]
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def difference(one, other):
    """The largest difference between the layers' weights of two models."""
    values = [{v.path: v.numpy() for op in m.operations for v in getattr(op, "weights", ())} for m in (one, other)]
    assert values[0].keys() == values[1].keys()
    return max(np.abs(value - values[1][path]).max() for path, value in values[0].items())


def rewinding(model):
    """A call that takes a compiled model, its method and its optimizer back to where they are now.

    So trainings on different data are compared that share one traced step.
    """
    variables = [*model.variables, *model.optimizer.variables]
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]

    def rewind():
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)

    return rewind


def moved(before, after):
    """First parts of the paths, so layers or parts, of the values by path that are no longer what they were."""
    return {path.split("/")[0] for path, value in before.items() if (value != after[path]).any()}


def refused(call, text):
    """The call is refused with exactly this text."""
    with pytest.raises(ValueError, match="Expected") as error:
        call()
    assert str(error.value) == text


def forgiving_adam(learning_rate=0.01):
    """Adam that does not blow rounding errors in vanishing gradients up to whole steps."""
    return keras.optimizers.Adam(learning_rate, epsilon=1e-3)


@register("test_unit_weights")
class UnitWeights(GradientWeighting):
    """Weighs every task's gradient 1, through the machinery of gradient methods: must equal plain training."""

    def call(self, losses, gramian, present):
        return tf.cast(present, tf.float64)


@register("test_unit_norm")
class UnitNorm(GradientWeighting):
    """Divides every gradient by its norm: a method that needs the right Gramian."""

    scopes = SCOPES

    def call(self, losses, gramian, present):
        norms = tf.sqrt(tf.linalg.diag_part(gramian))
        return tf.math.divide_no_nan(tf.ones_like(norms), norms)


@register("test_row_sum")
class RowSum(GradientAggregator):
    """Adds the rows of the Jacobian, with a K×P state that only counts: must equal plain training."""

    def create_state(self, num_tasks):
        self.seen = self.add_state("seen", (num_tasks, self.gradient_size))

    def call(self, losses, jacobian, present):
        self.seen.assign_add(tf.cast(jacobian, tf.float32))
        return tf.reduce_sum(jacobian, axis=0)

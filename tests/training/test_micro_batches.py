"""A batch taken in parts gives the update, the logs and the state of the whole."""

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl

ONE, TWO = tf.distribute.get_strategy(), tiny.replicas(2)


def trained(micro_batches, strategy=ONE, batch_size=16, **kwargs):
    with strategy.scope():
        model = tiny.model(regularizer=keras.regularizers.L2(0.01))
        model.get_layer("dense").activity_regularizer = keras.regularizers.L2(0.05)
    model.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        loss=tiny.LOSSES,
        loss_weights={"a": 0.5},
        metrics={"a": ["accuracy"], "b": ["mae"]},
        weighted_metrics={"b": ["mse"]},
        class_weight={"a": {0: 3.0}},
        micro_batches=micro_batches,
        **kwargs,
    )
    x, y = tiny.arrays(34)
    y["a"][:7] = -1
    y["b"][10:20] = np.nan
    weights = {"b": np.linspace(0.5, 2.0, 34, dtype="float32")}
    return model, model.fit(tiny.dataset(x, y, batch_size, weights), epochs=2, verbose=0).history


METHODS = {
    "losses": {"weighting": "uncertainty"},
    "parameters": {"weighting": ["uncertainty", "test_unit_norm"]},
    "features": {"weighting": "test_unit_norm", "scope": "features", "head_gradients": "weighted"},
    "last_layer": {"weighting": ["dwa", "test_unit_norm"], "scope": "last_layer"},
}


@cache
def in_one(method):
    return trained(1, **METHODS[method])


@pytest.mark.parametrize("method", METHODS)
def test_parts_give_what_the_whole_gives(method):
    """With batches of 16 and one of 2, in 3 parts, of which the last is smaller or empty.

    With missing labels, weights, regularizers of weights and activities.
    """
    whole, expected = in_one(method)
    parts, logs = trained(3, **METHODS[method])
    assert tiny.difference(whole, parts) < 1e-6
    for one, other in zip(whole.weighting.variables, parts.weighting.variables, strict=True):
        np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-5, atol=1e-6)
    assert logs.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(logs[key], values, rtol=1e-5, atol=1e-6, err_msg=key)


def test_an_optimizer_that_accumulates_on_one_device_gives_what_the_whole_gives():
    """Keras' way, which takes the mean over batches: the same where every batch has all labels."""
    x, y = tiny.arrays(32)
    made = []
    for batch_size, steps in ((16, None), (8, 2)):
        model = tiny.model()
        model.compile(keras.optimizers.SGD(0.02, momentum=0.9, gradient_accumulation_steps=steps), loss=tiny.LOSSES)
        model.fit(tiny.dataset(x, y, batch_size), epochs=2, verbose=0)
        made.append(model)
        assert int(model.optimizer.iterations.numpy()) == 4
    assert tiny.difference(*made) < 1e-6


def test_parts_of_replicas_give_what_one_device_gives():
    whole, expected = in_one("features")
    parts, logs = trained(2, TWO, **METHODS["features"])
    assert tiny.difference(whole, parts) < 1e-6
    for key, values in expected.items():
        np.testing.assert_allclose(logs[key], values, rtol=1e-5, atol=1e-6, err_msg=key)


def test_dropout_draws_once_and_statistics_move_once_a_part():
    """The pass that measures the losses has the masks of the pass that trains: both see the same losses."""
    keras.utils.set_random_seed(1)
    seen = []

    class Spy(mtl.weightings.Equal):
        def call(self, losses, present):
            seen.append(losses)
            return super().call(losses, present)

    model = tiny.model(dropout=0.5, batch_norm=True)
    model.compile("sgd", loss=tiny.LOSSES, weighting=Spy(), micro_batches=2, run_eagerly=True)
    x, y = tiny.arrays(8)
    logs = model.fit(tiny.dataset(x, y, 8), verbose=0).history
    np.testing.assert_allclose([logs[f"{task}_loss"][0] for task in ("a", "b")], seen[0], rtol=1e-5)
    moved = model.get_layer("norm").moving_mean.numpy()
    by_hand = np.zeros_like(moved)
    before_norm = keras.Model(model.input, model.get_layer("conv").output)
    reference = tiny.model(dropout=0.5, batch_norm=True)
    before_norm = keras.Model(reference.input, reference.get_layer("conv").output)
    for part in (x[:4], x[4:]):
        by_hand = 0.99 * by_hand + 0.01 * before_norm(part).numpy().mean(axis=(0, 1, 2))
    np.testing.assert_allclose(moved, by_hand, rtol=1e-4, atol=1e-7)


def test_a_task_that_fails_in_one_part_sits_out_the_step():
    x, y = tiny.arrays(16)
    model = tiny.model()
    model.compile("sgd", loss=tiny.LOSSES, micro_batches=4)
    rewind = tiny.rewinding(model)
    model.fit(tiny.dataset(x, {**y, "b": np.full(16, np.nan, "float32")}), verbose=0)
    without = model.get_weights()
    rewind()
    y["b"][5] = np.inf
    with pytest.warns(UserWarning, match="Task 'b' sat out 1 of the steps"):
        model.fit(tiny.dataset(x, y), verbose=0)
    for found, expected in zip(model.get_weights(), without, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def refused(**kwargs):
    with pytest.raises(ValueError, match="Expected") as error:
        tiny.model().compile("sgd", loss=tiny.LOSSES, **kwargs)
    return str(error.value)


def test_what_cannot_be_put_together_from_parts():
    assert refused(micro_batches=0) == (
        "Expected a whole number of at least 1 for micro_batches. Received: micro_batches=0. Do correct it."
    )
    for weighting, need in (
        ("modo", "two halves of each batch"),
        ("famo", "each batch again after the step"),
        ("auto_lambda", "other examples beside each batch"),
    ):
        assert refused(micro_batches=2, weighting=weighting) == (
            f"Expected one micro-batch with weighting {weighting!r}, which takes {need}. Received: micro_batches=2. "
            "Do leave micro_batches at 1, or choose another weighting."
        )

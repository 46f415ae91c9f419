"""Several replicas give the update of one device on the same global batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl

# one object for all tests: TensorFlow mixes up the collectives of several strategies on the same devices
TWO = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
ONE = tf.distribute.get_strategy()


def uneven(n=48):
    """Labels missing unevenly: `a` from most of one replica's part, `b` from a whole replica and from a whole batch."""
    x, y = tiny.arrays(n, four=True)
    y["a"][:7] = -1
    y["b"][24:32] = np.nan  # the second replica's half of the second batch
    y["b"][32:48] = np.nan  # the third batch
    return x, y


def run(strategy, data, **kwargs):
    with strategy.scope():
        model = tiny.model(four=True, regularizer=keras.regularizers.L2(0.01))
    # compiled outside the scope, with an optimizer made outside of it: both are the model's business
    model.compile(
        tiny.forgiving_adam(),
        loss=tiny.FOUR_LOSSES,
        loss_weights={"a": 0.5},
        metrics={"a": ["accuracy"], "b": ["mae"]},
        class_weight={"a": {0: 3.0}},
        **kwargs,
    )
    history = model.fit(data, epochs=2, verbose=0, validation_data=data)
    return model, history.history


def cases():
    rows = []
    for name in mtl.weightings.names():
        cls = mtl.weightings.registry.cls(name)
        scopes = ["parameters"] if cls.reads == "losses" else cls.scopes
        rows += [pytest.param(name, scope, id=f"{name}-{scope}") for scope in scopes]
    return rows


@pytest.mark.parametrize(("weighting", "scope"), cases())
def test_two_replicas_equal_one_device(weighting, scope):
    data = tiny.dataset(*uneven())
    one, expected = run(ONE, data, weighting=weighting, scope=scope)
    two, logs = run(TWO, data, weighting=weighting, scope=scope)
    assert tiny.difference(one, two) < 1e-5
    for first, second in zip(one.weighting.variables, two.weighting.variables, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), atol=1e-5)
    assert expected.keys() == logs.keys()
    for key in expected:
        np.testing.assert_allclose(logs[key], expected[key], rtol=1e-4, atol=1e-5, err_msg=key)

"""Regressor: the scale from the targets, losses on scaled values, errors in the user's units."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtl_keras import heads
from mtl_keras.errors import message
from mtl_keras.heads.regressor import AbsoluteError, RootMeanSquareError, ScaledError

NAN = float("nan")


def test_scale_is_that_of_the_labelled_targets():
    head = heads.Regressor(2, unit=["cm", "kg"], loss="mae").fit_scale([[1.0, 10.0], [3.0, NAN], [NAN, 30.0]])
    assert head.mean == [2.0, 20.0]
    assert head.std == [1.0, 10.0]
    assert head.loss_name == "mae"
    assert head.describe() == {
        "kind": "regression",
        "units": ["cm", "kg"],
        "mean": [2.0, 20.0],
        "std": [1.0, 10.0],
        "shape": [2],
    }
    np.testing.assert_allclose(head.loss_target([[4.0, 0.0]]), [[2.0, -2.0]])


def test_fit_scale_leaves_the_first_head_alone_and_takes_a_column_or_a_table():
    head = heads.Regressor()
    for targets in ([10.0, 20.0], [[10.0], [20.0]], np.array([10, 20], "int32")):
        fitted = head.fit_scale(targets)
        assert (fitted.mean, fitted.std) == (15.0, 5.0)
    assert (head.mean, head.std) == (0.0, 1.0)


@pytest.mark.parametrize("value", [0.0, 0.1, -7e8])
def test_constant_targets_get_a_standard_deviation_of_one(value):
    # the mean of many 0.1 is not quite 0.1: the spread left is rounding, not scale
    head = heads.Regressor().fit_scale(np.full(1000, value))
    assert head.std == 1.0
    assert head.mean == pytest.approx(value)


def test_targets_with_a_large_mean_keep_their_digits():
    # float32 cannot tell 1.7e9 + 1 from 1.7e9; labels in float64 or integers are scaled before they are rounded
    seconds = np.array([1_700_000_000, 1_700_000_001, 1_700_000_002])
    head = heads.Regressor(mean=1_700_000_001.0, std=0.5)
    for labels in (seconds, seconds.astype("float64")):
        assert head.loss_target(labels).numpy().tolist() == [-2.0, 0.0, 2.0]


def test_output_is_in_the_users_units_and_the_loss_reads_scaled_values():
    inputs = keras.Input((3,))
    head = heads.Regressor(2, mean=[10.0, -5.0], std=[2.0, 0.5])
    model = keras.Model(inputs, head(inputs, "size"))
    features = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    scaled = keras.Model(inputs, model.get_layer("size").input)(features)
    np.testing.assert_allclose(model(features), scaled * [2.0, 0.5] + [10.0, -5.0], rtol=1e-6)
    # a prediction that equals the label has no loss
    np.testing.assert_allclose(head.loss().call(head.loss_target(model(features)), scaled), np.zeros((4, 2)), atol=1e-9)


@pytest.mark.parametrize(
    ("error", "values", "slopes"),
    [
        # d = 0.5, -3, 100
        ("mse", [0.25, 9.0, 1e4], [1.0, -6.0, 200.0]),
        ("mae", [0.5, 3.0, 100.0], [1.0, -1.0, 1.0]),
        # delta 2: 0.5^2 / 2; then 2^2 / 2 + 2 (|d| - 2)
        ("huber", [0.125, 4.0, 198.0], [0.5, -2.0, 2.0]),
    ],
)
def test_losses_and_gradients_by_hand(error, values, slopes):
    predictions = tf.constant([[1.5], [-2.0], [101.0]])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        found = ScaledError(error, huber_delta=2.0).call([[1.0]] * 3, predictions)
    np.testing.assert_allclose(found[:, 0], values)
    np.testing.assert_allclose(tape.gradient(found, predictions)[:, 0], slopes)


def test_hubers_loss_is_finite_where_a_square_is_not():
    assert float(ScaledError("huber").call([[0.0]], [[1e30]])[0, 0]) == pytest.approx(1e30)


def test_errors_by_hand_per_element():
    labels = [[170.0, NAN], [180.0, 60.0]]
    predictions = [[173.0, 1.0], [176.0, 60.0]]
    mae, rmse = AbsoluteError(), RootMeanSquareError()
    for metric in (mae, rmse):
        metric.update_state(labels, predictions)
    # errors 3, 4, 0 over three labels
    np.testing.assert_allclose(mae.result(), 7 / 3, rtol=1e-6)
    np.testing.assert_allclose(rmse.result(), (25 / 3) ** 0.5, rtol=1e-6)
    for metric in (mae, rmse):
        metric.reset_state()
        metric.update_state(labels, predictions, sample_weight=[[1.0, 5.0], [1.0, 0.0]])
    # errors 3 and 4
    np.testing.assert_allclose(mae.result(), 3.5, rtol=1e-6)
    np.testing.assert_allclose(rmse.result(), 12.5**0.5, rtol=1e-6)


def test_one_value_takes_labels_without_a_second_axis():
    """Broadcasting [B] against [B, 1] would compare every label with every prediction."""
    head = heads.Regressor()
    assert head.loss().call(head.loss_target([1.0, 2.0]), tf.zeros([2, 1])).numpy().tolist() == [[1.0], [4.0]]
    mae = AbsoluteError()
    mae.update_state([1.0, 2.0], [[1.0], [2.0]])
    assert float(mae.result()) == 0.0


def test_labels_of_another_shape_are_refused():
    text = message("one label per value", "give labels the shape of the output", labels_shape=(3,), output_shape=(3, 2))
    for read in (ScaledError().call, AbsoluteError().update_state, RootMeanSquareError().update_state):
        with pytest.raises(ValueError, match="Expected") as error:
            read(np.zeros(3), np.zeros((3, 2), "float32"))
        assert str(error.value) == text


def test_channels_first_is_refused_where_keras_would_mix_up_the_values():
    keras.config.set_image_data_format("channels_first")
    try:
        inputs = keras.Input((3,))
        heads.Regressor(1, mean=3.0)(inputs, "age")
        with pytest.raises(ValueError, match="Expected") as error:
            heads.Regressor(2)(inputs, "size")
    finally:
        keras.config.set_image_data_format("channels_last")
    assert str(error.value) == (
        "Expected data format channels_last for task 'size' (else Rescaling takes the values for channels). "
        "Received: image_data_format='channels_first'. Do set it, or use one Regressor per value."
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"units": 0}, "Expected a whole number of values, at least 1. Received: units=0. Do pass units=1."),
        ({"units": 1.5}, "Expected a whole number of values, at least 1. Received: units=1.5. Do pass units=1."),
        ({"mean": NAN}, "Expected a finite mean. Received: mean=nan. Do call fit_scale(targets)."),
        ({"std": 0.0}, "Expected a finite std above 0. Received: std=0.0. Do call fit_scale(targets)."),
        (
            {"units": 2, "std": [1.0, -1.0]},
            "Expected a finite std above 0. Received: std=[1.0, -1.0]. Do call fit_scale(targets).",
        ),
        (
            {"units": 2, "mean": [1.0]},
            "Expected one number, or a list of 2. Received: mean=[1.0]. Do correct the list.",
        ),
        (
            {"units": 2, "unit": ["cm"]},
            "Expected one unit, or a list of 2. Received: unit=['cm']. Do correct the list.",
        ),
        ({"loss": "rmse"}, "Expected a loss among mse, mae, huber. Received: loss='rmse'. Do choose one."),
        ({"huber_delta": 0}, "Expected a finite huber_delta above 0. Received: huber_delta=0. Do correct it."),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match="Expected") as error:
        heads.Regressor(**arguments)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (
            [1.0, 2.0],
            "Expected targets of shape [N, 2]. Received: shape=(2,). Do give every example one per value.",
        ),
        (
            [[1.0, 2.0], [3.0, float("inf")]],
            "Expected finite targets, or NaN. Received: row=1, column=1. Do correct the row.",
        ),
        (
            [[1.0, NAN], [2.0, NAN]],
            "Expected a label for every value. Received: labelled=[2, 0]. Do label some, or leave the value out.",
        ),
    ],
)
def test_bad_targets_are_refused(targets, text):
    with pytest.raises(ValueError, match="Expected") as error:
        heads.Regressor(2).fit_scale(targets)
    assert str(error.value) == text

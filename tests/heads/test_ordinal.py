"""Ordinal: probabilities that keep their order, the likelihood by hand and at extremes, what training finds."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_keras import heads
from mtl_keras.heads.ordinal import OrdinalLikelihood, RankError
from mtl_keras.heads.ordinal_layers import OrderedProbabilities, OrderedThresholds

numbers = st.floats(-60, 60, width=32)


@settings(deadline=None, max_examples=60, database=None)
@given(st.lists(numbers, min_size=1, max_size=9), st.lists(st.floats(-200, 200, width=32), min_size=1, max_size=5))
def test_probabilities_are_never_negative_and_sum_to_one_for_any_weights(steps, scores):
    layer = OrderedThresholds(len(steps) + 1)
    layer.build((None, 1))
    layer.steps.assign(steps)
    thresholds = layer.thresholds().numpy()
    assert np.all(np.diff(thresholds) > 0)
    logits = layer(np.reshape(scores, (-1, 1)).astype("float32")).numpy()
    assert np.all(np.diff(logits, axis=-1) <= 0)
    probabilities = OrderedProbabilities()(logits).numpy()
    assert np.all(probabilities >= 0)
    np.testing.assert_allclose(probabilities.sum(axis=-1), np.ones(len(scores)), atol=1e-5)
    assert np.all(np.isfinite(OrdinalLikelihood().call(np.full(len(scores), len(steps)), logits)))


def test_probabilities_stay_sure_of_their_sign_where_logits_fall_together():
    # by rounding two thresholds may give the same logit, or the lower one a larger logit
    probabilities = OrderedProbabilities()(np.array([[1.0, 1.0], [1.0, np.nextafter(1, 2)]], "float32")).numpy()
    assert probabilities[:, 1].tolist() == [0.0, 0.0]


def test_probabilities_are_exact_in_the_tails():
    # P(1) = sigmoid(-40) - sigmoid(-41); as a difference of float32 numbers near 1 it would be 0 at +41, +40
    exact = (math.exp(-40) - math.exp(-41)) / ((1 + math.exp(-40)) * (1 + math.exp(-41)))
    low, high = OrderedProbabilities()(np.array([[-40.0, -41.0], [41.0, 40.0]], "float32")).numpy()[:, 1]
    assert low == pytest.approx(exact, rel=1e-5)
    assert high == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_all_classes_are_equally_likely_at_first_where_the_score_is_zero(num_classes):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, heads.Ordinal(num_classes)(inputs, "grade"))
    np.testing.assert_allclose(model(np.zeros((1, 4))), np.full((1, num_classes), 1 / num_classes), rtol=1e-5)


def test_likelihood_by_hand():
    # u = log 3, -log 3: P(y > 0) = 3/4, P(y > 1) = 1/4, so P = 1/4, 1/2, 1/4
    logits = np.array([[math.log(3), -math.log(3)]] * 3, "float32")
    np.testing.assert_allclose(OrderedProbabilities()(logits), [[0.25, 0.5, 0.25]] * 3, rtol=1e-6)
    values = OrdinalLikelihood().call([0, 1, 2], logits)
    np.testing.assert_allclose(values, [math.log(4), math.log(2), math.log(4)], rtol=1e-6)


@pytest.mark.parametrize("shift", [-100.0, -30.0, 0.0, 30.0, 100.0])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_likelihood_and_gradient_at_extreme_logits_are_those_of_the_formula(shift, label):
    a, b = shift + 0.5, shift - 0.5

    # -log P in terms of log(1 + e^x) and log(1 - 1/e), exact in float64
    def softplus(x):
        return float(np.logaddexp(0.0, x))

    def sigmoid(x):
        return math.exp(-softplus(-x))

    inverse = 1 / (math.e - 1)  # the slope of log(1 - exp(-d)) at d = a - b = 1
    value, slope_a, slope_b = {
        0: (softplus(a), sigmoid(a), 0.0),
        1: (softplus(-a) + softplus(b) - math.log(1 - 1 / math.e), -sigmoid(-a) - inverse, sigmoid(b) + inverse),
        2: (softplus(-b), 0.0, -sigmoid(-b)),
    }[label]
    logits = tf.constant([[a, b]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = OrdinalLikelihood().call([label], logits)
    # atol: float32 ends at 1e-38, and e^-100 is 4e-44
    np.testing.assert_allclose(values, [value], rtol=1e-5, atol=1e-37)
    np.testing.assert_allclose(tape.gradient(values, logits), [[slope_a, slope_b]], rtol=1e-5, atol=1e-12)


def test_likelihood_is_finite_where_steps_drown_in_rounding():
    logits = tf.constant([[3e7, 3e7, 3e7]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = OrdinalLikelihood().call([1], logits)
    assert np.all(np.isfinite(values))
    assert np.all(np.isfinite(tape.gradient(values, logits)))


def test_two_classes_are_logistic_regression():
    logits = np.array([[-2.0], [0.5]], "float32")
    expected = tf.nn.sigmoid_cross_entropy_with_logits([[1.0], [0.0]], logits)[:, 0]
    np.testing.assert_allclose(OrdinalLikelihood().call([1, 0], logits), expected, rtol=1e-6)
    np.testing.assert_allclose(OrderedProbabilities()(logits)[:, 1:], tf.sigmoid(logits), rtol=1e-6)


def test_trained_thresholds_reach_the_class_frequencies():
    """With a constant score the likelihood is largest where class probabilities equal the frequencies."""
    labels = tf.constant([0] * 1 + [1] * 2 + [2] * 5 + [3] * 2)
    layer = OrderedThresholds(4)
    layer.build((None, 1))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(layer.trainable_variables)
    loss = OrdinalLikelihood()

    @tf.function
    def train():
        for _ in tf.range(300):
            with tf.GradientTape() as tape:
                value = tf.reduce_mean(loss.call(labels, layer(tf.zeros([10, 1]))))
            optimizer.apply([tape.gradient(value, layer.steps.value)], [layer.steps])

    train()
    np.testing.assert_allclose(OrderedProbabilities()(layer(np.zeros((1, 1)))), [[0.1, 0.2, 0.5, 0.2]], atol=2e-3)


def test_one_score_serves_all_thresholds():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, heads.Ordinal(5)(inputs, "grade"))
    shapes = {variable.path: tuple(variable.shape) for variable in model.trainable_variables}
    assert shapes == {"grade_score/kernel": (6, 1), "grade_logits/steps": (4,)}


def test_rank_error_by_hand():
    metric = RankError()
    # most likely 0, 2, 1; labels 2, 2, missing, then 1 with weight 3 against 2: (2 + 0 + 3) / 5
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])
    metric.update_state([2, 2, -1, 1], probabilities, sample_weight=[1.0, 1.0, 1.0, 3.0])
    np.testing.assert_allclose(metric.result(), 1.0, rtol=1e-6)


def test_description_and_range():
    head = heads.Ordinal(labels=["mild", "severe"])
    assert head.describe() == {"kind": "ordinal", "labels": ["mild", "severe"], "shape": [2]}
    assert head.label_range == (0.0, 1.0)
    assert head.best == ("mae", "min")

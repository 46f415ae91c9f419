"""MultiLabel: binary cross-entropy by hand, its gradient, accuracy and F1 per attribute."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import mtl_keras as mtl
from mtl_keras import heads
from mtl_keras.errors import message
from mtl_keras.heads.label_metrics import LabelAccuracy, LabelF1
from mtl_keras.heads.multi_label import LabelCrossentropy

NAN = float("nan")


def test_crossentropy_by_hand():
    # sigmoid(log 3) = 3/4, so -log p is log(4/3) for a 1 and log 4 for a 0
    logits = np.full((1, 2), math.log(3), "float32")
    values = LabelCrossentropy().call([[1.0, 0.0]], logits)
    np.testing.assert_allclose(values, [[math.log(4 / 3), math.log(4)]], rtol=1e-6)


def test_weight_and_smoothing_by_hand():
    # s = 0.2: a 1 is 0.9, a 0 is 0.1; positives weigh 3 and 5
    logits = np.full((1, 2), math.log(3), "float32")
    values = LabelCrossentropy(label_smoothing=0.2, pos_weight=[3.0, 5.0]).call([[1.0, 0.0]], logits)
    first = 0.9 * 3 * math.log(4 / 3) + 0.1 * math.log(4)
    second = 0.1 * 5 * math.log(4 / 3) + 0.9 * math.log(4)
    np.testing.assert_allclose(values, [[first, second]], rtol=1e-6)


def test_values_are_those_of_stock_keras():
    random = np.random.default_rng(0)
    logits = random.normal(size=(6, 3)).astype("float32")
    labels = random.integers(0, 2, (6, 3)).astype("float32")
    stock = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    np.testing.assert_allclose(
        tf.reduce_mean(LabelCrossentropy(0.1).call(labels, logits), axis=-1), stock(labels, logits), rtol=1e-5
    )


def test_gradient_is_right_at_zero_and_at_large_logits():
    # d/dz = -w y sigmoid(-z) + (1 - y) sigmoid(z)
    logits = tf.constant([[100.0, -100.0, 0.0], [100.0, -100.0, 0.0]])
    labels = [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = LabelCrossentropy(pos_weight=2.0).call(labels, logits)
    log2 = math.log(2)
    np.testing.assert_allclose(values, [[0.0, 200.0, 2 * log2], [100.0, 0.0, log2]], rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(tape.gradient(values, logits), [[0.0, -2.0, -1.0], [1.0, 0.0, 0.5]], atol=1e-7)


def test_stock_weighted_crossentropy_has_a_wrong_gradient_at_zero():
    """Why the loss is written with softplus; a dead layer gives logits of exactly 0."""
    logits = tf.zeros([1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.nn.weighted_cross_entropy_with_logits(tf.zeros([1]), logits, pos_weight=1.0)
    assert float(tape.gradient(value, logits)[0]) != 0.5


def test_accuracy_by_hand_and_by_label():
    metric = LabelAccuracy(["hat", "beard", "tie"], thresholds=[0.5, 0.5, 0.9])
    labels = [[1.0, NAN, 1.0], [0.0, -1.0, 0.0]]
    # hat: right, wrong; beard: no label; tie: 0.8 is below its threshold: wrong, right
    metric.update_state(labels, [[0.8, 0.8, 0.8], [0.8, 0.2, 0.2]])
    assert metric.per_label() == {"hat": 0.5, "tie": 0.5}
    # a third example: hat right with weight 2, so 3 of 4; tie not weighed at all
    metric.update_state([[1.0, NAN, 0.0]], [[0.8, 0.8, 0.8]], sample_weight=[[2.0, 1.0, 0.0]])
    assert metric.per_label() == {"hat": 0.75, "tie": 0.5}
    assert float(metric.result()) == 0.625


def test_f1_by_hand_and_by_label():
    metric = LabelF1(["hat", "beard", "tie"])
    labels = [[1.0, 0.0, 1.0], [1.0, 0.0, NAN], [0.0, 0.0, NAN], [1.0, 0.0, NAN]]
    predictions = [[0.9, 0.1, 0.1], [0.9, 0.9, 0.9], [0.9, 0.1, 0.9], [0.1, 0.1, 0.9]]
    metric.update_state(labels, predictions)
    # hat: TP 2, FP 1, FN 1: 4 / 6; beard: no positive label, left out; tie: TP 0, FN 1: 0
    values = metric.per_label()
    assert list(values) == ["hat", "tie"]
    assert values["hat"] == pytest.approx(2 / 3)
    assert values["tie"] == 0.0
    np.testing.assert_allclose(metric.result(), 1 / 3, rtol=1e-6)


def test_metrics_of_nothing_are_zero():
    for metric in heads.MultiLabel(2).metrics():
        metric.update_state([[NAN, -1.0]], [[0.9, 0.1]])
        assert float(metric.result()) == 0.0
        assert metric.per_label() == {}


def test_one_attribute_takes_labels_without_a_second_axis():
    assert LabelCrossentropy().call([1.0, 0.0], tf.zeros([2, 1])).shape == (2, 1)
    metric = LabelAccuracy(["hat"])
    metric.update_state([1.0, 0.0], [[0.9], [0.8]], sample_weight=[1.0, 3.0])
    assert float(metric.result()) == 0.25


@pytest.mark.parametrize("shape", [(2,), (2, 2), (2, 3, 1)])
def test_labels_of_another_shape_are_refused(shape):
    text = message(
        "one label per value", "give labels the shape of the output", labels_shape=shape, output_shape=(2, 3)
    )
    for read in (LabelCrossentropy().call, LabelF1(["a", "b", "c"]).update_state):
        with pytest.raises(ValueError, match="Expected") as error:
            read(np.zeros(shape), np.zeros((2, 3), "float32"))
        assert str(error.value) == text


def test_metrics_that_take_weights_by_example_are_refused():
    """Keras' F scores multiply weights [B, 1, A] with counts [B, A], and count every example B times."""
    tasks = [mtl.Task(name, heads.MultiLabel(3)) for name in ("face", "tags")]
    model = mtl.build(keras.Input((8, 8, 1)), mtl.sharing.Hard(mtl.trunks.Conv((2,))), tasks)
    tiny.refused(
        lambda: model.compile("sgd", metrics={"tags": [keras.metrics.F1Score(name="f1")]}),
        "Expected metrics that take a weight for each label, for task 'tags' (F scores of Keras take one for each "
        "example). Received: metric='f1'. "
        "Do leave the task's metrics out: its head has the F1 and accuracy of each label.",
    )


def test_head_is_one_matrix_product():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, heads.MultiLabel(40)(inputs, "face"))
    assert [variable.path for variable in model.variables] == ["face_logits/kernel", "face_logits/bias"]
    assert model.count_params() == 5 * 40 + 40
    features = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    logits = keras.Model(inputs, model.get_layer("face").input)(features)
    np.testing.assert_allclose(model(features), tf.sigmoid(logits), rtol=1e-6)


def test_metrics_hold_one_variable_each_however_many_attributes():
    f1, accuracy = heads.MultiLabel(40).metrics()
    assert [variable.shape for variable in f1.variables] == [(3, 40)]
    assert [variable.shape for variable in accuracy.variables] == [(2, 40)]


def test_description_has_a_threshold_per_label():
    head = heads.MultiLabel(labels=["hat", "beard"], thresholds=0.3)
    assert head.describe() == {
        "kind": "multilabel",
        "labels": ["hat", "beard"],
        "thresholds": [0.3, 0.3],
        "shape": [2],
    }
    assert head.label_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"pos_weight": 0.0}, "Expected finite weights above 0. Received: pos_weight=0.0. Do correct them."),
        (
            {"pos_weight": [1, NAN]},
            "Expected finite weights above 0. Received: pos_weight=[1.0, nan]. Do correct them.",
        ),
        (
            {"pos_weight": [1.0]},
            "Expected one number, or a list of 2. Received: pos_weight=[1.0]. Do correct the list.",
        ),
        (
            {"thresholds": [0.5, 1.5]},
            "Expected thresholds from 0 to 1. Received: thresholds=[0.5, 1.5]. Do correct them.",
        ),
    ],
)
def test_bad_weights_and_thresholds_are_refused(arguments, text):
    with pytest.raises(ValueError, match="Expected") as error:
        heads.MultiLabel(2, **arguments)
    assert str(error.value) == text

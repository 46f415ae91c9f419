"""Classifier: cross-entropy by hand, its gradient at large logits, label shapes, accuracy."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtl_keras import heads
from mtl_keras.errors import message
from mtl_keras.heads.classifier import ClassAccuracy, ClassCrossentropy


def test_crossentropy_by_hand():
    # logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8
    logits = np.log([[1.0, 2.0, 5.0]] * 2).astype("float32")
    values = ClassCrossentropy().call([2, 0], logits)
    np.testing.assert_allclose(values, [math.log(8 / 5), math.log(8)], rtol=1e-6)


def test_smoothed_crossentropy_by_hand():
    # s = 0.3, C = 3: the target is 0.8 for the label and 0.1 for the others, so with probabilities 1/8, 2/8, 5/8
    # the value for label 2 is log 8 - 0.1 log 1 - 0.1 log 2 - 0.8 log 5
    logits = np.log([[1.0, 2.0, 5.0]]).astype("float32")
    values = ClassCrossentropy(label_smoothing=0.3).call([2], logits)
    np.testing.assert_allclose(values, [math.log(8) - 0.1 * math.log(2) - 0.8 * math.log(5)], rtol=1e-6)


def test_smoothing_is_that_of_stock_keras_on_one_hot_labels():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    ids = np.array([0, 1, 2, 3, 1])
    stock = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    np.testing.assert_allclose(ClassCrossentropy(0.1).call(ids, logits), stock(np.eye(4)[ids], logits), rtol=1e-5)


def test_gradient_at_large_logits_is_probability_minus_target():
    logits = tf.constant([[100.0, -100.0], [100.0, -100.0]])
    for smoothing in (0.0, 0.2):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = ClassCrossentropy(smoothing).call([1, 0], logits)
        # wrong by 200 logits: loss 200 (1 - s / 2), right: 200 s / 2
        np.testing.assert_allclose(values, [200 * (1 - smoothing / 2), 100 * smoothing], rtol=1e-6)
        wrong, right = 1 - smoothing / 2, smoothing / 2
        np.testing.assert_allclose(tape.gradient(values, logits), [[wrong, -wrong], [right, -right]], atol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_ids_may_have_any_dtype_and_a_trailing_one(dtype):
    logits = np.log([[1.0, 3.0], [3.0, 1.0]]).astype("float32")
    for ids in (np.array([1, 0], dtype), np.array([[1], [0]], dtype)):
        np.testing.assert_allclose(ClassCrossentropy().call(ids, logits), [math.log(4 / 3)] * 2, rtol=1e-6)
        metric = ClassAccuracy()
        metric.update_state(ids, logits)
        assert float(metric.result()) == 1.0


@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 1), ()])
def test_labels_that_are_no_ids_are_refused(shape):
    text = message(
        "class ids of shape [B] or [B, 1], or class probabilities [B, 3]",
        "correct the labels",
        labels_shape=shape,
        output_shape=(4, 3),
    )
    for read in (ClassCrossentropy().call, ClassAccuracy().update_state):
        with pytest.raises(ValueError, match="Expected") as error:
            read(np.zeros(shape), np.zeros((4, 3), "float32"))
        assert str(error.value) == text


def test_probabilities_as_labels_by_hand():
    logits = np.log([[1.0, 3.0], [3.0, 1.0]]).astype("float32")
    # 0.25 log 4 + 0.75 log(4 / 3), and one-hot as the id
    expected = [0.25 * math.log(4) + 0.75 * math.log(4 / 3), math.log(4 / 3)]
    np.testing.assert_allclose(ClassCrossentropy().call([[0.25, 0.75], [1.0, 0.0]], logits), expected, rtol=1e-6)
    smooth = ClassCrossentropy(0.2)
    np.testing.assert_allclose(smooth.call([[0.0, 1.0], [1.0, 0.0]], logits), smooth.call([1, 0], logits), rtol=1e-6)
    metric = ClassAccuracy()
    metric.update_state([[0.4, 0.6], [0.0, 0.0], [float("nan")] * 2, [0.3, 0.7]], [[0.1, 0.9]] * 3 + [[0.8, 0.2]])
    assert float(metric.result()) == 0.5  # the likeliest class counts; the two in the middle have no label


def test_accuracy_by_hand():
    metric = ClassAccuracy()
    # right, wrong, missing, right with weight 3: (1 + 3) / (1 + 1 + 3)
    probabilities = [[0.7, 0.3], [0.6, 0.4], [0.9, 0.1], [0.2, 0.8]]
    metric.update_state([0.0, 1.0, float("nan"), 1.0], probabilities, sample_weight=[1.0, 1.0, 1.0, 3.0])
    np.testing.assert_allclose(metric.result(), 0.8, rtol=1e-6)


def test_output_is_softmax_of_what_the_loss_reads():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, heads.Classifier(4)(inputs, "task"))
    features = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    logits = keras.Model(inputs, model.get_layer("task").input)(features)
    np.testing.assert_allclose(model(features), tf.nn.softmax(logits), rtol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(model(features), axis=-1), np.ones(5), rtol=1e-6)


def test_description_names_classes_and_labels_have_a_range():
    assert heads.Classifier(3).describe() == {"kind": "classification", "labels": ["0", "1", "2"], "shape": [3]}
    assert heads.Classifier(labels=("a", "b")).describe()["labels"] == ["a", "b"]
    assert heads.Classifier(3).label_range == (0.0, 2.0)
    assert heads.Classifier(np.int64(3)).num_classes == 3


def test_dropout_without_hidden_layers_acts_on_the_features():
    inputs = keras.Input((1000,))
    model = keras.Model(inputs, heads.Classifier(2, dropout=0.5)(inputs, "task"))
    dropped = keras.Model(inputs, model.get_layer("task_dropout").output)(np.ones((1, 1000)), training=True)
    assert 300 < np.sum(dropped.numpy() == 0.0) < 700


def test_label_smoothing_out_of_range_is_refused():
    with pytest.raises(ValueError, match="Expected") as error:
        heads.Classifier(2, label_smoothing=1.5)
    assert str(error.value) == (
        "Expected label_smoothing of at least 0 and below 1. Received: label_smoothing=1.5. Do correct it."
    )


def test_regularizer_may_be_a_name_a_config_or_an_object():
    for regularizer in ("l2", keras.regularizers.serialize(keras.regularizers.L2()), keras.regularizers.L2()):
        head = heads.Classifier(2, kernel_regularizer=regularizer)
        assert head.get_config()["kernel_regularizer"]["class_name"] == "L2"
    assert heads.Classifier(2).get_config()["kernel_regularizer"] is None

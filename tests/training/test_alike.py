"""Tasks that are read and compared alike are taken together, and give what each gives alone."""

import inspect
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

import mtl_keras as mtl
from mtl_keras.training import alike
from mtl_keras.training.known_losses import way_of
from mtl_keras.training.losses import task_losses
from mtl_keras.training.task_plan import plan_task

B = 6
HEADS = {
    "colour": mtl.heads.Classifier(3, labels=["red", "green", "blue"]),
    "price": mtl.heads.Regressor(mean=2.0, std=3.0),
    "shape": mtl.heads.Classifier(3),
    "smooth": mtl.heads.Classifier(3, label_smoothing=0.1),
    "weight": mtl.heads.Regressor(mean=2.0, std=3.0),
    "size": mtl.heads.Regressor(mean=0.0, std=1.0),
    "rank": mtl.heads.Ordinal(3),
}


def batch(names, seed=0):
    """Labels of which some are missing, what losses read, and sample weights of which one is 0."""
    rng = np.random.default_rng(seed)
    labels, read, weights = {}, {}, {}
    for name in names:
        is_number = isinstance(HEADS[name], mtl.heads.Regressor)
        given = rng.normal(size=B) if is_number else rng.integers(0, 3, B)
        given[rng.integers(B)] = np.nan if is_number else -1
        labels[name] = tf.constant(given, tf.float32 if is_number else tf.int32)
        read[name] = tf.constant(rng.normal(size=(B, 1 if is_number else 2 if name == "rank" else 3)), tf.float32)
        weights[name] = tf.constant(rng.random(B) * (np.arange(B) != 2), tf.float32)
    return labels, read, weights


CLASSES = ("colour", "shape")


def plans(class_weight=None):
    x = keras.Input((4,))
    return [
        plan_task(mtl.Task(name, head), head(x, name), "auto", None, None, class_weight if name in CLASSES else None)
        for name, head in HEADS.items()
    ]


def in_graph(function):
    """What it gives in a graph, in which tensors know what made them."""
    return tf.function(function, autograph=False)()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [None, {0: 2.0, 2: 0.5}])
def test_together_is_as_alone(weighted, class_weight):
    tasks = plans(class_weight)
    labels, read, weights = batch(HEADS)
    given = weights if weighted else {}

    def found(of):
        """Losses, labels, masks and weights of some tasks, and the gradient of all their losses at the outputs."""
        with tf.GradientTape() as tape:
            tape.watch(read)
            losses = task_losses(of, labels, read, read, given, training=True)
        return vars(losses), tape.gradient(losses.sums, read)

    together, gradients = in_graph(lambda: found(tasks))
    alone = [in_graph(partial(found, [task])) for task in tasks]
    np.testing.assert_array_equal(together["sums"], [one["sums"][0] for one, _ in alone])
    np.testing.assert_array_equal(together["counts"], [one["counts"][0] for one, _ in alone])
    assert all(together["counts"] < B)
    for task, (one, of_one) in zip(tasks, alone, strict=True):
        for what in ("labels", "masks", "weights"):
            np.testing.assert_array_equal(together[what][task.name], one[what][task.name])
        # the gradient of all tasks together at one output is that of its own task
        np.testing.assert_allclose(gradients[task.name], of_one[task.name], rtol=1e-6)


OUTPUTS = {
    "sparse_categorical_crossentropy": (keras.activations.softmax, 3, lambda ids: ids),
    "categorical_crossentropy": (keras.activations.softmax, 3, lambda ids: tf.one_hot(ids, 3)),
    "binary_crossentropy": (keras.activations.sigmoid, 1, lambda ids: tf.cast(ids > 0, tf.float32)[:, None]),
    "mean_squared_error": (keras.activations.sigmoid, 1, lambda ids: tf.cast(ids, tf.float32)[:, None]),
}


@pytest.mark.parametrize("how", ["eager", "graph"])
@pytest.mark.parametrize("loss", OUTPUTS)
def test_saturated_outputs_have_the_losses_and_gradients_of_plain_keras(loss, how):
    """Keras takes cross-entropies from what goes into the activation: an output of exactly 0 would have no gradient."""
    activation, size, as_labels = OUTPUTS[loss]
    x = keras.Input((4,))
    h = keras.layers.Dense(4, name="trunk")(x)
    model = mtl.MultiTaskModel(x, {name: keras.layers.Dense(size, name=name)(h) for name in "ab"})
    model.compile("sgd", loss=dict.fromkeys("ab", loss))
    rng = np.random.default_rng(0)
    before = {name: tf.constant(50.0 * rng.normal(size=(B, size)), tf.float32) for name in "ab"}
    labels = {name: as_labels(tf.constant(rng.integers(0, 3, B))) for name in "ab"}

    def ours():
        with tf.GradientTape() as tape:
            tape.watch(before)
            outputs = {name: activation(tensor) for name, tensor in before.items()}
            sums = task_losses(model.plan.tasks, labels, outputs, {}, {}, training=True).sums
        return sums, tape.gradient(sums, before)

    sums, gradients = ours() if how == "eager" else in_graph(ours)
    for index, name in enumerate("ab"):
        with tf.GradientTape() as tape:
            tape.watch(before[name])
            expected = B * keras.losses.get(loss)(labels[name], activation(before[name]))
            expected = tf.reduce_sum(expected) / len(tf.reshape(expected, [-1]))
        np.testing.assert_allclose(sums[index], expected, rtol=1e-6)
        np.testing.assert_allclose(gradients[name], tape.gradient(expected, before[name]), rtol=1e-5, atol=1e-7)


def test_softmax_over_another_axis_is_as_alone():
    """Keras takes what goes into it too, though another operation made the outputs."""
    x = keras.Input((4,))
    h = keras.layers.Dense(6, name="trunk")(x)
    outputs = {}
    for name in "ab":
        logits = keras.layers.Reshape((3, 2))(keras.layers.Dense(6, name=f"of_{name}")(h))
        outputs[name] = keras.layers.Softmax(axis=1, name=name)(logits)
    model = mtl.MultiTaskModel(x, outputs)
    model.compile("sgd", loss=dict.fromkeys("ab", "categorical_crossentropy"))
    rng = np.random.default_rng(0)
    before = {name: tf.constant(9.0 * rng.normal(size=(B, 3, 2)), tf.float32) for name in "ab"}
    labels = {name: tf.one_hot(rng.integers(0, 2, (B, 3)), 2) for name in "ab"}

    def outputs_of():
        return {name: keras.layers.Softmax(axis=1)(tensor) for name, tensor in before.items()}

    found = in_graph(lambda: task_losses(model.plan.tasks, labels, outputs_of(), {}, {}, training=True).sums)
    plain = keras.losses.CategoricalCrossentropy()
    expected = in_graph(lambda: [3 * B * plain(labels[name], output) for name, output in outputs_of().items()])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_which_are_taken_together():
    def names(changed=None, weights=None):
        labels, read, _ = batch(HEADS)
        parts = (labels | (changed or {}), read, weights or {})
        with tf.Graph().as_default():
            labels, read, weights = ({n: tf.constant(t.numpy()) for n, t in part.items()} for part in parts)
            found = alike.taken_together(plans(), labels, read, read, weights)
        assert [tasks.labels.shape[0] for tasks in found] == [B * len(tasks.plans) for tasks in found]
        return [[plan.name for plan in tasks.plans] for tasks in found]

    apart = [["smooth"], ["size"], ["rank"]]
    assert names() == [["colour", "shape"], ["price", "weight"], *apart]
    of_another_type = {"shape": tf.zeros([B], tf.float32)}
    assert names(of_another_type) == [["colour"], ["price", "weight"], ["shape"], *apart]
    of_another_shape = {"shape": tf.fill([B, 3], 1 / 3)}
    assert names(of_another_shape) == [["colour"], ["price", "weight"], ["shape"], *apart]
    weights = {"price": tf.ones([B])}
    assert names(weights=weights) == [["colour", "shape"], ["price"], ["smooth"], ["weight"], *apart[1:]]


def test_large_outputs_are_not_copied():
    head = mtl.heads.Classifier(alike.LARGE)
    tasks = [plan_task(mtl.Task(n, head), head(keras.Input((4,)), n), "auto", None, None, None) for n in "ab"]
    read = {name: tf.zeros([B, alike.LARGE]) for name in "ab"}
    labels = {name: tf.zeros([B], tf.int32) for name in "ab"}
    assert len(alike.taken_together(tasks, labels, read, read, {})) == 2


def test_forty_heads_are_one_loss():
    """Operations of a step that are there for each head would be the step's larger part."""
    tasks = [f"t{k}" for k in range(40)]
    x = keras.Input((4,))
    h = keras.layers.Dense(4, name="trunk")(x)
    model = mtl.MultiTaskModel(x, {name: keras.layers.Dense(1, "sigmoid", name=name)(h) for name in tasks})
    model.compile("sgd", loss=dict.fromkeys(tasks, "binary_crossentropy"))
    step = tf.function(lambda labels, outputs: task_losses(model.plan.tasks, labels, outputs, {}, {}, True).sums)
    spec = {name: tf.TensorSpec([None, 1]) for name in tasks}
    operations = [op.type for op in step.get_concrete_function(spec, spec).graph.get_operations()]
    assert operations.count("Log") == 2
    assert len(operations) - operations.count("Placeholder") < 2 * len(tasks)


def test_a_bad_label_is_said_of_its_own_task():
    tasks = [plan for plan in plans() if plan.name in CLASSES]
    labels, read, weights = batch(CLASSES)
    labels["shape"] = tf.constant([0, 1, 7, 2, 9, -1])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        task_losses(tasks, labels, read, read, {}, training=True)
    expected = (
        "Expected labels of task 'shape' that are whole numbers from 0 to 2, or -1 where missing. Received: value="
    )
    assert expected in str(error.value)
    assert "7" in str(error.value)
    labels, read, weights = batch(CLASSES)
    weights["shape"] = -weights["shape"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample weights of at least 0 for task 'shape'"):
        task_losses(tasks, labels, read, read, weights, training=True)


def test_the_losses_of_heads_say_all_that_they_were_made_with():
    """Losses are alike where class and configuration are: none may keep an argument to itself."""
    heads = [*HEADS.values(), mtl.heads.MultiLabel(2)]
    assert {head.registered_name for head in heads} == set(mtl.heads.names())
    for loss in (head.loss() for head in heads):
        assert set(inspect.signature(type(loss)).parameters) == set(loss.get_config())
        assert way_of(loss) is not None

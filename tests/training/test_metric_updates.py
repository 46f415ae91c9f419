"""Metrics of tasks that are measured alike are updated together, and hold what each would hold alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mtl_keras.training.metric_updates import update_all

M = keras.metrics
RNG = np.random.default_rng(0)


def updates_of(make, labels, outputs, tasks=3, batch=7, weights="float32"):
    """Random updates of one metric for each task, with some weights of 0."""
    return [
        (
            make(),
            tf.constant(labels(batch)),
            tf.constant(outputs(batch)),
            tf.cast(RNG.integers(0, 3, batch) * RNG.uniform(0, 1, batch), weights),
        )
        for _ in range(tasks)
    ]


def ids(shape=(), classes=2):
    return lambda batch: RNG.integers(0, classes, (batch, *shape)).astype("int32")


def floats(*shape):
    return lambda batch: RNG.uniform(size=(batch, *shape)).astype("float32")


CASES = {
    "yes or no": (M.BinaryAccuracy, ids((1,)), floats(1)),
    "threshold": (lambda: M.BinaryAccuracy(threshold=0.8), ids((1,)), floats(1)),
    "attributes": (M.BinaryAccuracy, ids((4,)), floats(4)),
    "class": (M.SparseCategoricalAccuracy, ids((), 5), floats(5)),
    "class in a column": (M.SparseCategoricalAccuracy, ids((1,), 5), floats(5)),
    "one-hot": (M.CategoricalAccuracy, floats(5), floats(5)),
    "squares": (M.MeanSquaredError, floats(2), floats(2)),
    "magnitudes": (M.MeanAbsoluteError, floats(1), floats(1)),
}


def alone(updates):
    for metric, labels, outputs, weights in updates:
        same = type(metric).from_config(metric.get_config())
        same.update_state(labels, outputs, sample_weight=weights)
        yield same


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("case", CASES)
def test_metrics_hold_what_each_would_hold_alone(case, batch):
    """`total` and `count` are the two variables of a mean in Keras, which its documents do not name."""
    updates = updates_of(*CASES[case], batch=batch)
    tf.function(lambda: update_all(updates))()
    for (metric, *_), expected in zip(updates, alone(updates), strict=True):
        assert len(metric.variables) == 2
        for mine, theirs in zip(metric.variables, expected.variables, strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6, err_msg=case)
        assert float(metric.result()) == pytest.approx(float(expected.result()), rel=1e-6)


def test_metrics_that_are_not_alike_stay_apart():
    """All at once: other settings, sizes, dtypes and kinds, metrics that are no means, and metrics of a user."""

    class Mine(M.BinaryAccuracy):
        def update_state(self, labels, outputs, sample_weight=None):
            super().update_state(1 - labels, outputs, sample_weight)

    updates = [update for case in CASES.values() for update in updates_of(*case)]
    updates += updates_of(Mine, *CASES["yes or no"][1:])
    updates += updates_of(lambda: M.AUC(num_thresholds=10), *CASES["yes or no"][1:])
    updates += updates_of(M.BinaryAccuracy, lambda batch: ids((1,))(batch).astype("float32"), floats(1))
    updates += updates_of(M.BinaryAccuracy, *CASES["yes or no"][1:], batch=4)
    updates += updates_of(M.MeanAbsoluteError, floats(3, 3), floats(3, 3), weights="float32")[:1]
    tf.function(lambda: update_all(updates))()
    for (metric, *_), expected in zip(updates, alone(updates), strict=True):
        for mine, theirs in zip(metric.variables, expected.variables, strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("make", [M.BinaryAccuracy, lambda: M.AUC(num_thresholds=10)])
def test_one_metric_of_two_tasks_takes_in_both(make):
    first, second = updates_of(make, *CASES["yes or no"][1:], tasks=2)
    tf.function(lambda: update_all([first, (first[0], *second[1:])]))()
    expected = make()
    for _, labels, outputs, weights in (first, second):
        expected.update_state(labels, outputs, sample_weight=weights)
    for mine, theirs in zip(first[0].variables, expected.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-6)


def test_shapes_that_are_not_known_are_no_obstacle():
    metrics = [M.BinaryAccuracy(), M.BinaryAccuracy()]
    unknown = [tf.TensorSpec([None, None]), tf.TensorSpec([None, 1]), tf.TensorSpec([None])]

    @tf.function(input_signature=unknown)
    def update(labels, outputs, weights):
        update_all([(metric, labels, outputs, weights) for metric in metrics])

    update(tf.ones([4, 1]), tf.constant([[0.9], [0.1], [0.9], [0.9]]), tf.ones([4]))
    assert [float(metric.result()) for metric in metrics] == [0.75, 0.75]


def test_many_tasks_are_few_operations():
    def operations(tasks):
        updates = updates_of(*CASES["yes or no"], tasks=tasks)
        return len(tf.function(lambda: update_all(updates)).get_concrete_function().graph.get_operations())

    # for each task two variables, each read, added to and written
    assert (operations(40) - operations(20)) / 20 < 14

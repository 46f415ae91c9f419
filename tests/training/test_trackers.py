"""The loss tracker's means, worked by hand."""

import numpy as np
import tensorflow as tf

from mtl_keras.training.trackers import LossTracker


def test_means_over_labels_not_over_batches():
    """Task a: (6 + 1) / (3 + 1); task b has labels in the second batch only: 8 / 2."""
    tracker = LossTracker(["a", "b"])
    for sums, counts, weights, added, examples, sat_out in (
        ([6.0, 0.0], [3.0, 0.0], [1.0, 5.0], 0.5, 3, [[0.0, 1.0], [0.0, 0.0]]),
        ([1.0, 8.0], [1.0, 2.0], [2.0, 0.25], 0.1, 1, [[0.0, 0.0], [1.0, 0.0]]),
    ):
        per_task = [tf.constant(values) for values in (sums, counts, weights)]
        tracker.update_state(*per_task, added, examples, tf.constant(sat_out))
    logs = {key: float(value) for key, value in tracker.result().items()}
    # weighted: a (1*6 + 2*1) / 4 = 2, b 0.25*8 / 2 = 1; added beside them: (0.5*3 + 0.1*1) / 4 = 0.4
    expected = {"loss": 3.4, "a_loss": 1.75, "b_loss": 4.0, "a_weight": 1.25, "b_weight": 0.25}
    assert list(logs) == list(expected)
    np.testing.assert_allclose(list(logs.values()), list(expected.values()), rtol=1e-6)
    assert tracker.batches() == 2
    assert tracker.labels_seen() == {"a": 4.0, "b": 2.0}
    assert tracker.sat_out() == {"a": (0, 1), "b": (1, 0)}
    assert tracker.lost() == tracker.unlabelled() == []


def test_no_label_is_not_the_same_as_none_that_counted():
    tracker = LossTracker(["a", "b", "c"])
    zeros = tf.zeros([3])
    tracker.update_state(zeros, tf.constant([1.0, 0.0, 0.0]), zeros, 0.0, 3, tf.constant([[0.0] * 3, [0.0, 1.0, 0.0]]))
    assert (tracker.lost(), tracker.unlabelled()) == (["b"], ["c"])


def test_reset_forgets():
    tracker = LossTracker(["a"])
    tracker.update_state(tf.constant([6.0]), tf.constant([3.0]), tf.constant([1.0]), 0.5, 3, tf.ones([2, 1]))
    tracker.reset_state()
    assert tracker.batches() == 0
    assert {float(v) for v in tracker.result().values()} == {0.0}

"""Gradients of one shape are one tensor; what is done to it is done to each."""

import numpy as np
import tensorflow as tf

from mtl_keras.gradients import groups


def rows():
    """Three tasks: gradients of two shapes and dtypes, one missing, one large; at the cut an axis of unknown length."""
    rng = np.random.default_rng(0)
    shapes = [[(4, 2), (3,), None], [(4, 2), (3,), (64, 64)], [(4, 2), (5,), (64, 64)]]
    made = [[None if s is None else tf.constant(rng.normal(size=s), tf.float32) for s in row] for row in shapes]
    made[2][0] = tf.cast(made[2][0], tf.float16)
    return made


def test_each_is_multiplied_by_what_its_row_is_given():
    factors = tf.constant([2.0, 0.5, -4.0])

    @tf.function(input_signature=[[tf.TensorSpec([None, 7])] * 3])
    def scaled(at_cut):
        whole = [[*row, cut] for row, cut in zip(rows(), at_cut, strict=True)]
        found = groups.groups(whole)
        assert sorted(len(group.places) for group in found) == [1, 1, 1, 1, 2, 2, 3]
        assert [group.places for group in found if len(group.places) == 3] == [[(0, 3), (1, 3), (2, 3)]]
        changed = groups.scaled(whole, factors)
        return [[tf.zeros([0]) if piece is None else piece for piece in row] for row in changed]

    at_cut = [tf.random.stateless_normal([6, 7], [1, k]) for k in range(3)]
    for k, (row, old, cut) in enumerate(zip(scaled(at_cut), rows(), at_cut, strict=True)):
        for new, before in zip(row, [*old, cut], strict=True):
            if before is None:
                assert new.shape == (0,)
            else:
                assert new.dtype == before.dtype
                np.testing.assert_array_equal(new, before * tf.cast(factors[k], before.dtype))


def test_without_gradients_there_is_no_group():
    assert groups.groups([[None], []]) == []
    assert groups.changed([[None], []], lambda group: group.values) == [[None], []]


def test_a_factor_of_0_hides_what_is_not_finite():
    first, second = [tf.constant([np.nan, 1.0])], [tf.constant([1.0, np.inf])]
    for pieces in ([first], [first, second]):
        assert not np.any([group.are_finite() for group in groups.groups(pieces)])
        hidden = groups.scaled(pieces, tf.zeros([len(pieces)]))
        assert all(group.are_finite().numpy().all() for group in groups.groups(hidden))
        np.testing.assert_array_equal(hidden[0][0], [0.0, 0.0])


def test_what_was_taken_apart_is_not_put_together_anew():
    @tf.function(input_signature=[tf.TensorSpec([3, 2])])
    def stacks(values):
        parts = tf.unstack(values)
        assert groups.stacked(parts) is values
        others = [parts[:2], parts[::-1], [parts[0], parts[1], parts[1]], tf.unstack(values, axis=1), [values, values]]
        assert all(groups.stacked(tensors).op.type == "Pack" for tensors in others)
        return [groups.stacked(tensors) for tensors in (parts, *others[:3])]

    values = np.arange(6.0, dtype="float32").reshape(3, 2)
    for stack, places in zip(stacks(values), ([0, 1, 2], [0, 1], [2, 1, 0], [0, 1, 1]), strict=True):
        np.testing.assert_array_equal(stack, values[places])
    np.testing.assert_array_equal(groups.stacked(tf.unstack(tf.constant(values))), values)

"""Inner products and sums of gradients given in pieces."""

import numpy as np
import pytest
import tensorflow as tf

from mtl_keras.gradients import gramian as gram


@pytest.fixture(autouse=True, params=[gram.LARGE, 1], ids=["stacked", "in_place"])
def _large(request, monkeypatch):
    """Pieces of both sizes: those that are stacked, and those that are too large for that."""
    monkeypatch.setattr(gram, "LARGE", request.param)


def rows_of(matrix):
    """The columns 0-1 as one piece of shape [2, 1], column 2 as another; the second task lacks the second piece."""
    matrix = tf.constant(matrix, tf.float32)
    return [[tf.reshape(row[:2], [2, 1]), row[2:] if k != 1 else None] for k, row in enumerate(tf.unstack(matrix))]


MATRIX = [[1.0, 2.0, 3.0], [4.0, -5.0, 0.0], [0.0, 1.0, -1.0]]


def test_gramian_of_pieces_is_the_gramian_of_the_whole():
    expected = np.array(MATRIX) @ np.array(MATRIX).T
    found = gram.gramian(gram.blocks(rows_of(MATRIX)), 3)
    assert found.dtype == tf.float64
    np.testing.assert_allclose(found, expected)


def test_cross_gramian_is_between_two_batches():
    other = [[2.0, 0.0, 1.0], [1.0, 1.0, 0.0], [3.0, -1.0, 2.0]]
    found = gram.cross_gramian(rows_of(MATRIX), rows_of(other))
    np.testing.assert_allclose(found, np.array(MATRIX) @ np.array(other).T)


def test_small_gradients_keep_their_digits():
    """In a float32 sum the small task's 1e-8 would drown in the large one's 1e8."""
    rows = [[tf.fill([1000], 1e4)], [tf.fill([1000], 1e-4)]]
    np.testing.assert_allclose(gram.gramian(gram.blocks(rows), 2), [[1e11, 1e3], [1e3, 1e-5]], rtol=1e-6)


def test_long_gradients_keep_their_digits():
    """A float32 sum of these squares is wrong from the third digit on."""
    row = np.full(2**20 + 77, 0.1, np.float32)
    found = gram.gramian(gram.blocks([[tf.constant(row)], [tf.constant(-row)]]), 2)
    square = np.sum(row.astype(np.float64) ** 2)
    np.testing.assert_allclose(found, [[square, -square], [-square, square]], rtol=1e-5)


def test_weighted_sum_and_flat_forms():
    rows = rows_of(MATRIX)
    weights = np.array([0.5, 2.0, -1.0])
    direction = weights @ np.array(MATRIX)
    summed = gram.weighted_sum(tf.constant(weights, tf.float32), gram.blocks(rows))
    np.testing.assert_allclose(np.concatenate([np.ravel(piece) for piece in summed]), direction)
    like = [tf.zeros([2, 1]), tf.zeros([1])]
    np.testing.assert_allclose(gram.flatten(rows, like), MATRIX)
    pieces = gram.unflatten(tf.constant(direction), like)
    assert [tuple(piece.shape) for piece in pieces] == [(2, 1), (1,)]
    np.testing.assert_allclose(np.concatenate([np.ravel(piece) for piece in pieces]), direction)

"""Points of the convex hull of the rows."""

import tensorflow as tf

from mtl_keras.weightings.solvers.orthant import nonnegative_minimum

# what a vector of length 0 counts as: the hull then has its shortest point there
NO_LENGTH = 1e-150


def least_norm(vectors: tf.Tensor, active: tf.Tensor, start: tf.Tensor | None = None) -> tf.Tensor:
    """Weights of the shortest vector in the convex hull of the rows.

    `argmin |V' w|^2` over `w >= 0` with sum 1, without its constraint on the sum: the v that minimises
    `|V' v|^2 + (t sum v - t)^2` over `v >= 0` is that w times a number above 0, whatever t. This holds for 0 in the
    hull too. With t the length of the shortest row, and rows scaled to unit length, all is of order 1.

    Args:
        vectors: float64 [K, D].
        active: The rows that take part, bool [K].
        start: Weights [K] whose support is tried first.

    Returns:
        float64 [K], at least 0 with sum 1; 0 where not active, and all 0 where nothing is. Equal rows get equal
        weights.
    """
    lengths = tf.maximum(tf.norm(vectors, axis=1), NO_LENGTH)
    shortest = tf.reduce_min(tf.where(active, lengths, float("inf")))
    pull = tf.where(active, shortest / lengths, 0.0)
    units = tf.where(active[:, None], vectors / lengths[:, None], 0.0)
    matrix = tf.matmul(units, units, transpose_b=True) + pull[:, None] * pull[None, :]
    if start is not None:
        start = tf.where(active, start * lengths / shortest, 0.0)[None]
    scaled = nonnegative_minimum(matrix, pull[None], start)[0] * pull
    return tf.math.divide_no_nan(scaled, tf.reduce_sum(scaled))

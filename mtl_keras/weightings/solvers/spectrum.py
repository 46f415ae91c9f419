"""Singular values and vectors of the gradients, to the last digits that tiny ones have."""

import numpy as np
import tensorflow as tf

from mtl_keras.weightings.solvers.rows import Rows

# cosines between rows that count as orthogonal
ORTHOGONAL = 1e-10
SWEEPS = 12
# in a rank-deficient Jacobian, rows below this part of the longest are what rounding left of those that should be 0
NOISE = 1e-14


def spectrum(rows: Rows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`J J' = V S^2 V'`, with the zeros of a rank-deficient J told from small values.

    Starts from TensorFlow's eigenvectors, which are right to 1e-15 of the largest eigenvalue, and to 1e-8 of it under
    XLA on a CPU, and turns the rows of `V' J` in pairs until all are orthogonal, however short. Nothing is left to turn
    in a usual Gramian outside of XLA.

    Returns:
        V [K, K], a singular vector in each column; its singular values S [K]; which of them are not 0, bool [K].

    Source: Hestenes, Inversion of Matrices by Biorthogonalization and Related Results, SIAM Journal 1958, in the
    parallel order of Brent and Luk, 1985.
    """
    size = rows.units.shape[0]
    vectors = rows.vectors / tf.maximum(tf.reduce_max(rows.norms), np.finfo("float64").tiny)
    _, axes = tf.linalg.eigh(tf.matmul(vectors, vectors, transpose_b=True))
    turned = tf.concat([tf.matmul(axes, vectors, transpose_a=True), tf.transpose(axes)], 1)
    noise = tf.where(rows.rank < size, tf.constant(NOISE, turned.dtype), 0.0)
    # a row of zeros makes their number even; it comes first, which is where it stays
    turned = _orthogonal(tf.pad(turned, [[size % 2, 0], [0, 0]]), size, noise)[size % 2 :]
    lengths = tf.norm(turned[:, :size], axis=1)
    places = tf.argsort(tf.argsort(lengths, direction="DESCENDING", stable=True))
    return tf.transpose(turned[:, size:]), lengths * tf.reduce_max(rows.norms), places < rows.rank


def _orthogonal(both: tf.Tensor, size: int, noise: tf.Tensor) -> tf.Tensor:
    """Turn pairs of rows until the first `size` columns have orthogonal rows, but for those no longer than `noise`.

    The number of rows has to be even.
    """
    half = both.shape[0] // 2
    # everyone meets everyone: the first stays, the others move on by one place
    following = np.concatenate([[0], np.roll(np.arange(1, 2 * half), 1)])

    def unsettled(count: tf.Tensor, both: tf.Tensor) -> tf.Tensor:
        left = both[:, :size]
        lengths = tf.norm(left, axis=1, keepdims=True)
        units = tf.where(lengths > noise, tf.math.divide_no_nan(left, lengths), 0.0)
        cosines = tf.linalg.set_diag(tf.matmul(units, units, transpose_b=True), tf.zeros(2 * half, both.dtype))
        return (count < SWEEPS * (2 * half - 1)) & (tf.reduce_max(tf.abs(cosines)) > ORTHOGONAL)

    def turn(count: tf.Tensor, both: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        upper, lower = both[:half], both[half:][::-1]
        product = tf.reduce_sum(upper[:, :size] * lower[:, :size], 1)
        difference = tf.reduce_sum(lower[:, :size] ** 2 - upper[:, :size] ** 2, 1)
        # the tangent of the angle, the smaller of two
        sign = tf.where(difference < 0.0, -tf.ones_like(difference), tf.ones_like(difference))
        root = tf.abs(difference) + tf.sqrt(difference**2 + 4.0 * product**2)
        tangent = sign * tf.math.divide_no_nan(2.0 * product, root)
        cosine = tf.math.rsqrt(1.0 + tangent**2)[:, None]
        sine = cosine * tangent[:, None]
        both = tf.concat([cosine * upper - sine * lower, (sine * upper + cosine * lower)[::-1]], 0)
        return count + 1, tf.gather(both, following)

    return tf.while_loop(unsettled, turn, (tf.constant(0), both))[1]

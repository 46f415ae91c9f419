"""The combination of unit rows that has given projections on all of them."""

import tensorflow as tf

from mtl_keras.weightings.solvers.rows import Rows

RIDGE = 1e-15


def projection_weights(rows: Rows, projections: tf.Tensor) -> tf.Tensor:
    """The b of `d = U' b`, U the unit rows, with `U d = projections`.

    Args:
        rows: The gradients.
        projections: float64 [K].

    Returns:
        float64 [K]; 0 where left out. Where rows are dependent: of all b with the smallest squared error, the shortest,
        as by the pseudo-inverse of the cosines; equal rows with equal projections get equal b.
    """
    # with U = L, and columns of L beyond the rank 0: (L L')^+ = L (L' L)^-2 L'
    inner = tf.matmul(rows.units, rows.units, transpose_a=True)
    empty = tf.cast(tf.range(rows.units.shape[0]) >= rows.rank, inner.dtype)
    root = tf.linalg.cholesky(tf.linalg.set_diag(inner, tf.linalg.diag_part(inner) + empty + RIDGE))

    def solved(wanted: tf.Tensor) -> tf.Tensor:
        side = tf.linalg.matvec(rows.units, wanted, transpose_a=True)[:, None]
        side = tf.linalg.cholesky_solve(root, tf.linalg.cholesky_solve(root, side))
        return tf.linalg.matvec(rows.units, side[:, 0])

    weights = solved(projections)
    # once more for what rounding has left over
    return weights + solved(projections - tf.linalg.matvec(rows.cosines, weights))

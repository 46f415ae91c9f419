"""The cone of directions that harm no task: those with a product of at least 0 with every gradient."""

import tensorflow as tf

from mtl_keras.weightings.solvers.orthant import nonnegative_minimum
from mtl_keras.weightings.solvers.rows import Rows


def cone_weights(rows: Rows, combinations: tf.Tensor) -> tf.Tensor:
    """Weights of the nearest direction in the cone, for each of some combinations of the gradients.

    The projection of `J' u` on `{d: J d >= 0}` is `J' v` with v the least `v' G v` of all `v >= u`.

    Args:
        rows: The gradients.
        combinations: u, float64 [N, K].

    Returns:
        v, float64 [N, K], at least u; 0 where left out. Where gradients are dependent v may not be unique, `J' v` is.
    """
    cosines = rows.cosines
    wanted = combinations * rows.norms
    scale = tf.reduce_max(tf.abs(wanted), -1, keepdims=True)
    lacking = -tf.matmul(tf.math.divide_no_nan(wanted, scale), cosines)
    added = nonnegative_minimum(cosines, lacking) * scale
    return tf.where(rows.active, combinations + rows.for_gradients(added), 0.0)

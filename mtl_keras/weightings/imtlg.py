"""The combination of gradients on which all of them have the same projection."""

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.solvers import projection_weights, rows_of

# a sum of weights that is this part of the sum of their sizes is rounding
NO_SUM = 1e-12


@register("imtlg")
class IMTLG(GradientWeighting):
    """The gradient half of impartial multi-task learning: `d . g_k / ||g_k||` is the same for every task.

    `d = sum_k w_k g_k` with w of sum 1; so `w_k = b_k / ||g_k||`, scaled, with b the solution of `C b = 1`, C the
    cosines of the gradients. Weights can be below 0, with more than two tasks even so many that the common projection
    is: all tasks then lose alike. That is the method, not a fault.

    The update does not see how long one gradient is beside the others; it scales with all of them. Tasks with a zero
    gradient are left out. Where gradients are linearly dependent, b is the shortest of the solutions with the least
    squared error: equal gradients share one weight equally. Where no update with these properties is left, as with two
    opposed tasks, or the weights sum to 0, it is 0.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.IMTLG().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.0767, 1.0, 1.0]

    LibMTL's IMTL is this and the loss half at once, `IMTL` here; LibMTL fails where gradients are dependent.

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021.
    """

    paper = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021"

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        weights = rows.for_gradients(projection_weights(rows, tf.ones_like(rows.norms)))
        total = tf.reduce_sum(weights)
        exists = tf.abs(total) > NO_SUM * tf.reduce_sum(tf.abs(weights))
        return tf.where(exists, tf.math.divide_no_nan(weights, total), 0.0)

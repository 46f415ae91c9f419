"""The geometric mean of the losses."""

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.positive import above_zero


@register("gls")
class GLS(LossWeighting):
    """Geometric loss strategy: `total = (L_1 ... L_K)^(1/K)`, so `w_k = total / (K L_k)`; K counts the present tasks.

    The mean is taken as `exp(mean_k log L_k)`: the product of many losses would run out of float range. Losses have to
    stay above 0; smaller ones count as 1e-12.

    Example:
        >>> from mtl_keras import weightings
        >>> gls = weightings.GLS().bind(3)
        >>> round(float(gls.total([1.0, 2.0, 4.0])), 5)
        2.0
        >>> gls.combine([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], losses=[1.0, 2.0, 4.0]).numpy().round(4).tolist()
        [0.6667, 0.3333, 0.1667]

    LibMTL takes the K-th root of the product and reports weights without the root.

    Source: Chennupati et al., MultiNet++: Multi-Stream Feature Aggregation and Geometric Loss Strategy for Multi-Task
    Learning, CVPR Workshops 2019.
    """

    positive_losses = True
    paper = "Chennupati et al., MultiNet++, CVPR Workshops 2019"

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(present, losses.dtype)
        count = tf.reduce_sum(mask)
        losses = above_zero(losses, present)
        mean = tf.exp(tf.math.divide_no_nan(tf.reduce_sum(tf.math.log(losses)), count))
        return tf.math.divide_no_nan(mean * mask, count * losses)

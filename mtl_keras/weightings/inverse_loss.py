"""Every loss divided by its own value."""

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.positive import above_zero


@register("inverse_loss")
class InverseLoss(LossWeighting):
    """UW-O, uncertainty weighting at its optimum: `w_k = 1 / L_k`, with `L_k` a constant.

    What uncertainty weighting moves to is computed at once, so that nothing is trained. The update is that of
    `sum_k log L_k`, the same as `LogSum`; only the thought behind it differs. Losses have to stay above 0; smaller ones
    count as 1e-12.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.InverseLoss().combine([[2.0, 0.0], [0.0, 2.0]], losses=[1.0, 4.0]).numpy().tolist()
        [2.0, 0.5]

    Source: Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, GCPR 2024.
    """

    positive_losses = True
    paper = "Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting, GCPR 2024"

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return tf.cast(present, losses.dtype) / above_zero(losses, present)

"""Equal weights: the plain sum of the losses."""

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register


@register("equal")
class Equal(LossWeighting):
    """Every task weighs 1: `total = sum_k L_k`, what stock Keras does without `loss_weights`.

    With `compile(loss_weights=...)` or `Task(weight=...)` the losses are scaled by those first, so that the update is
    that of stock Keras with the same `loss_weights`, to float rounding.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.Equal().combine([[1.0, 0.0], [0.0, 2.0]], losses=[1.0, 1.0]).numpy().tolist()
        [1.0, 2.0]

    Source: the baseline of every paper; Kurin et al., In Defense of the Unitary Scalarization for Deep Multi-Task
    Learning, NeurIPS 2022, show how far it goes.
    """

    paper = "Kurin et al., In Defense of the Unitary Scalarization, NeurIPS 2022"

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return tf.ones_like(losses) * tf.cast(present, losses.dtype)

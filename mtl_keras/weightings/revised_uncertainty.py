"""Uncertainty weighting whose total cannot fall below zero."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number


@register("revised_uncertainty")
class RevisedUncertainty(LossWeighting):
    """Uncertainty weighting with a regularizer that stays above zero.

    `total = sum_k L_k / (2 sigma_k^2) + log(1 + sigma_k^2)`. Each task learns its `s_k = log sigma_k^2`, so that
    sigma cannot change sign: weights are `exp(-s_k) / 2`, and `log(1 + exp(s_k))` is added.

    Args:
        initial_log_variance: `s_k` at the start, default 0.0 (sigma 1, weight 1/2).

    State: `log_variances`, float32 [K], trained by the model's optimizer. A task without a label in a batch leaves its
    own where it is.

    Example:
        >>> from mtl_keras import weightings
        >>> ruw = weightings.RevisedUncertainty().bind(["a", "b"])
        >>> round(float(ruw.total([1.0, 2.0])), 4)  # 0.5 + 1.0 + 2 log 2
        2.8863

    The paper trains sigma itself and takes 1/2 for every kind of task; so do we the 1/2.

    Source: Liebel, Körner, Auxiliary Tasks in Multi-task Learning, 2018.
    """

    paper = "Liebel and Körner, Auxiliary Tasks in Multi-task Learning, 2018"

    def __init__(self, initial_log_variance: float = 0.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.initial_log_variance = number("initial_log_variance", initial_log_variance, example=0.0)

    def create_state(self, num_tasks: int) -> None:
        self.log_variances = self.add_state("log_variances", (num_tasks,), self.initial_log_variance, trainable=True)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return 0.5 * tf.exp(-tf.convert_to_tensor(self.log_variances.value)) * tf.cast(present, tf.float32)

    def penalty(self, present: tf.Tensor) -> tf.Tensor:
        log_variances = tf.convert_to_tensor(self.log_variances.value)
        return tf.reduce_sum(tf.math.softplus(log_variances) * tf.cast(present, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_log_variance": self.initial_log_variance}

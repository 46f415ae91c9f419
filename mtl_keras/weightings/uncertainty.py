"""Weights learned as the noise of each task."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number


@register("uncertainty")
class Uncertainty(LossWeighting):
    """Homoscedastic uncertainty weighting: each task learns its own noise `s_k = log sigma_k^2`.

    `total = sum_k f_k exp(-s_k) L_k + s_k / 2` with `f_k = 1/2` for regression and `f_k = 1` for classification
    (equation 10 of the paper: the classification likelihood has no factor 1/2). The total goes below zero once losses
    are small; that is the method, not a fault.

    Args:
        initial_log_variance: `s_k` at the start, default 0.0. LibMTL starts at -0.5.
        classification_factor: `f_k` of classification tasks, default 1.0 as in the paper. LibMTL and TorchJD use 0.5
            for all tasks: pass 0.5 to compare with them.

    State: `log_variances` s, float32 [K], trained by the model's optimizer, without weight decay where the optimizer is
    not built yet. A task without a label in a batch leaves its `s_k` where it is.

    Raises:
        ValueError: A number is not finite, or `classification_factor` is negative.

    Example:
        >>> from mtl_keras import weightings
        >>> uw = weightings.Uncertainty(classification_factor=0.5).bind(["a", "b", "c"])
        >>> uw.total([1.0, 2.0, 4.0]).numpy().tolist()
        3.5

    Source: Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018.
    """

    paper = "Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018"

    def __init__(
        self,
        initial_log_variance: float = 0.0,
        classification_factor: float = 1.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.initial_log_variance = number("initial_log_variance", initial_log_variance, example=0.0)
        self.classification_factor = number("classification_factor", classification_factor, example=1.0, at_least=0)

    def create_state(self, num_tasks: int) -> None:
        self.factors = [0.5 if t.kind == "regression" else self.classification_factor for t in self.tasks]
        self.log_variances = self.add_state("log_variances", (num_tasks,), self.initial_log_variance, trainable=True)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        weights = tf.constant(self.factors) * tf.exp(-tf.convert_to_tensor(self.log_variances.value))
        return weights * tf.cast(present, "float32")

    def penalty(self, present: tf.Tensor) -> tf.Tensor:
        return 0.5 * tf.reduce_sum(tf.convert_to_tensor(self.log_variances.value) * tf.cast(present, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_log_variance": self.initial_log_variance,
            "classification_factor": self.classification_factor,
        }

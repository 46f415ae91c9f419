"""Gains shared out among the tasks by a chosen idea of fairness."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.solvers import fair_weights, rows_of


@register("fairgrad")
class FairGrad(GradientWeighting):
    """Alpha-fair gains: `d = sum_k a_k g_k` with the a > 0 that solves `(G a)_k = a_k^(-1/alpha)`, found exactly.

    Args:
        alpha: Above 0, default 1.0. Towards 0 it is the plain sum, 1 is proportional fairness, which is `NashMTL`
            without its limit of the norm, and large values help the task that gains least, as `MGDA` does. The paper
            takes 1 for two or three tasks and 2 for many.

    Every task gains: `g_k . d = a_k^(-1/alpha)`. With gradients s times as long weights are `s^(-2 alpha/(1 + alpha))`
    times as large. Zero, cancelling and equal gradients are treated as in `NashMTL`.

    Raises:
        ValueError: `alpha` is not above 0.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.FairGrad(alpha=1.0).combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.0766, 0.9985, 0.9985]

    The authors' code multiplies by K and clips the norm of the update to 1, which is the optimizer's `clipnorm` here;
    LibMTL weighs the heads too.

    Source: Ban, Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024.
    """

    paper = "Ban and Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024"

    def __init__(self, alpha: float = 1.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.alpha = number("alpha", alpha, example=1.0, at_least=0)
        if self.alpha == 0:
            raise ValueError(message("alpha above 0", "pass alpha=1.0", alpha=alpha))

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return fair_weights(rows_of(gramian, present), power=1.0 / self.alpha)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}

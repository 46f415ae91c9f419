"""Shares that grow as losses fall."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.positive import above_zero
from mtl_keras.weightings.simplex import softmax_of


@register("soft_inverse_loss")
class SoftInverseLoss(LossWeighting):
    """UW-SO: `w = softmax(1 / (T L))` over the present tasks, with the losses as constants.

    Args:
        temperature: T above 0, default 1.0. The paper tunes it and names no default: small values give everything to
            the task with the smallest loss, large ones make the weights equal.

    Weights are at least 0 and sum to 1, so that the update is about 1/K of the sum. Losses have to stay above 0;
    smaller ones count as 1e-12.

    Raises:
        ValueError: `temperature` is not above 0.

    Example:
        >>> from mtl_keras import weightings
        >>> direction = weightings.SoftInverseLoss().combine([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], losses=[1.0, 2, 4])
        >>> direction.numpy().round(4).tolist()
        [0.481, 0.2918, 0.2272]

    Source: Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting in Multi-Task Learning, GCPR 2024.
    """

    positive_losses = True
    paper = "Kirchdorfer et al., Analytical Uncertainty-Based Loss Weighting, GCPR 2024"

    def __init__(self, temperature: float = 1.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.temperature = number("temperature", temperature, example=1.0, at_least=0)
        if self.temperature == 0:
            raise ValueError(message("a temperature above 0", "pass temperature=1.0", temperature=temperature))

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return softmax_of(1.0 / (self.temperature * above_zero(losses, present)), present)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}

"""Random weights on the losses: the baseline that every loss weighting has to beat."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings import draws
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import whole
from mtl_keras.weightings.simplex import softmax_of


@register("rlw")
class RLW(LossWeighting):
    """Random loss weighting: `w = softmax(z)` with `z ~ N(0, I)`, drawn anew at every step.

    Args:
        seed: Of the weights, default 0; the same on every replica.

    Weights are above 0 and sum to 1 over the present tasks, so that the update is on average 1/K of the sum.

    State: `calls`, an int64 count of the draws.

    Example:
        >>> from mtl_keras import weightings
        >>> direction = weightings.RLW(seed=3).combine([[1.0, 0.0], [0.0, 1.0]], losses=[1.0, 1.0])
        >>> round(float(sum(direction)), 6)
        1.0

    Source: Lin et al., Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning, TMLR 2022.
    """

    paper = "Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022"

    def __init__(self, seed: int = 0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.seed = whole("seed", seed, example=0)

    def create_state(self, num_tasks: int) -> None:
        self.calls = self.add_state("calls", (), 0, dtype="int64")

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        logits = draws.normal([losses.shape[0]], draws.next_seed(self.calls, self.seed))
        return tf.cast(softmax_of(logits, present), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

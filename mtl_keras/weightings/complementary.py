"""Each task weighted by how well the others already do."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number


@register("complementary")
class Complementary(LossWeighting):
    """Complementary weights: a task counts the more, the smaller the *other* losses are.

    Two tasks: `w_1 = alpha (1 - L_2) / (1 - alpha)` and `w_2 = (1 - alpha) (1 - L_1) / (1 - alpha)`, which is
    `1 - L_1`. K tasks: the same with the mean of the other present losses, `M_k`: `w_1 = alpha (1 - M_1) / (1 - alpha)`
    for the first task and `w_k = (1 - alpha) (1 - M_k) / (1 - alpha)` for all others. Weights are held at 0 or above.

    Args:
        alpha: 0 to below 1, default 0.5. It leans to the first task by `alpha / (1 - alpha)`.

    What it does: once a task is done (its loss near 0) the others get their full weight, and while a task does badly
    the others wait for it. A task without present others has `M_k = 0`.

    When it fails: it takes losses to lie between 0 and 1. While the others' mean is 1 or more a task's weight is 0; if
    that holds for all of them, as at the start of any classification with more than two classes (loss log K), *nothing
    trains*. It suits losses like Dice, or losses scaled by `loss_weights`. It depends on units, and `alpha` on the
    order of the tasks.

    Raises:
        ValueError: `alpha` is below 0, or 1 or more.

    Example:
        >>> from mtl_keras import weightings
        >>> rule = weightings.Complementary(alpha=0.75)
        >>> rule.combine([[1.0, 0.0], [0.0, 1.0]], losses=[0.5, 0.75]).numpy().tolist()
        [0.75, 0.5]

    Source: a rule from practice without a paper, kept as it was stated; the K-task form is ours.
    """

    paper = "a rule from practice, without a paper"

    def __init__(self, alpha: float = 0.5, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.alpha = number("alpha", alpha, example=0.5, at_least=0, at_most=1)
        if self.alpha == 1:
            raise ValueError(message("alpha below 1, which 1 - alpha divides", "pass alpha=0.5", alpha=alpha))

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(present, losses.dtype)
        losses = losses * mask
        others = tf.math.divide_no_nan(tf.reduce_sum(losses) - losses, tf.reduce_sum(mask) - mask)
        factors = [self.alpha] + [1.0 - self.alpha] * (losses.shape[0] - 1)
        weights = tf.constant(factors, losses.dtype) * (1.0 - others) / (1.0 - self.alpha)
        return mask * tf.maximum(weights, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}

"""The mean without its extremes, coordinate by coordinate."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientAggregator, register
from mtl_keras.weightings.checks import whole


@register("trimmed_mean")
class TrimmedMean(GradientAggregator):
    """At each coordinate drop the `trim` largest and the `trim` smallest gradients and take the mean of the rest.

    Args:
        trim: How many to drop at each end, default 1; 0 is the mean. At least `2 trim + 1` tasks are needed.

    Raises:
        ValueError: `trim` is not a whole number of at least 0, or there are fewer tasks than `2 trim + 1`.

    Where fewer than `2 trim + 1` tasks are present in a batch, as many are dropped at each end as leave one or two.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.TrimmedMean(1).combine([[1e11, 3.0], [1.0, -1e11], [-1e10, 1e10], [2.0, 2.0]]).numpy().tolist()
        [1.5, 2.5]

    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, ICML 2018.
    """

    paper = "Yin et al., Byzantine-Robust Distributed Learning, ICML 2018"

    def __init__(self, trim: int = 1, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.trim = whole("trim", trim, example=1)

    def create_state(self, num_tasks: int) -> None:
        if num_tasks < 2 * self.trim + 1:
            raise ValueError(
                message(
                    f"at least 2 trim + 1 = {2 * self.trim + 1} tasks",
                    "pass a smaller trim",
                    tasks=num_tasks,
                    trim=self.trim,
                )
            )

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        highest = tf.constant(float("inf"), jacobian.dtype)
        ascending = tf.sort(tf.where(present[:, None], jacobian, highest), axis=0)  # absent ones behind all
        count = tf.reduce_sum(tf.cast(present, tf.int32))
        trim = tf.minimum(self.trim, tf.maximum(count - 1, 0) // 2)
        ranks = tf.range(jacobian.shape[0])
        kept = (ranks >= trim) & (ranks < count - trim)
        total = tf.reduce_sum(tf.where(kept[:, None], ascending, tf.zeros_like(ascending)), 0)
        return tf.math.divide_no_nan(total, tf.cast(count - 2 * trim, jacobian.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trim": self.trim}

"""Loss scales learned so that weighted losses come to be equal."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number


@register("imtll")
class IMTLL(LossWeighting):
    """The loss half of impartial multi-task learning: `total = sum_k exp(s_k) L_k - s_k`, with s trained.

    At its optimum every `exp(s_k) L_k` is 1. It is twice `Uncertainty(classification_factor=0.5)` with `-s_k` in the
    place of `s_k`. The total goes below zero once losses are small; that is the method, not a fault.

    Args:
        initial_log_scale: `s_k` at the start, default 0.0 (weight 1).

    State: `log_scales`, float32 [K], trained by the model's optimizer. A task without a label in a batch leaves its
    own where it is.

    Example:
        >>> from mtl_keras import weightings
        >>> imtll = weightings.IMTLL().bind(["a", "b", "c"])
        >>> imtll.total([1.0, 2.0, 4.0]).numpy().tolist()
        7.0

    Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021. `IMTL` is this with the gradient half.
    """

    paper = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021"

    def __init__(self, initial_log_scale: float = 0.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.initial_log_scale = number("initial_log_scale", initial_log_scale, example=0.0)

    def create_state(self, num_tasks: int) -> None:
        self.log_scales = self.add_state("log_scales", (num_tasks,), self.initial_log_scale, trainable=True)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return tf.exp(tf.convert_to_tensor(self.log_scales.value)) * tf.cast(present, tf.float32)

    def penalty(self, present: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.convert_to_tensor(self.log_scales.value) * tf.cast(present, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_log_scale": self.initial_log_scale}

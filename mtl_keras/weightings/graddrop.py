"""Gradient sign dropout: at each coordinate one sign survives."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings import draws
from mtl_keras.weightings.base import GradientAggregator, register
from mtl_keras.weightings.checks import number, whole


@register("graddrop")
class GradDrop(GradientAggregator):
    """Keep, at each coordinate, only the gradients of one sign, drawn by how much the tasks lean to it.

    With `P = (1 + sum_k g_k / sum_k |g_k|) / 2` and one uniform U per coordinate, shared by the tasks: gradients above
    0 are kept where `U < P`, gradients below 0 where `U >= P`; the direction is `sum_k (leak + (1 - leak) kept_k) g_k`.
    Where the tasks agree P is 0 or 1 and nothing is dropped; one task alone gives its plain gradient.

    Args:
        leak: Share of the gradients that passes undropped, 0 to 1, default 0.0 as in the paper; 1 is the plain sum.
        seed: Of U, default 0; the same on every replica.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.GradDrop().combine([[1.0, -2.0], [2.0, -3.0]]).numpy().tolist()
        [3.0, -5.0]

    The paper masks at the shared features, with each gradient multiplied by the sign of the feature and summed over the
    batch. An aggregator is given gradients alone, so the masks here are drawn on the shared parameters, as TorchJD and
    the code of FAMO and Auto-Lambda do. SamsungLabs' code has a leak of 0.5 and one mask for all tasks.

    Source: Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020.
    """

    paper = "Chen et al., Just Pick a Sign: Gradient Sign Dropout, NeurIPS 2020"

    def __init__(self, leak: float = 0.0, seed: int = 0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.leak = number("leak", leak, example=0.0, at_least=0, at_most=1)
        self.seed = whole("seed", seed, example=0)

    def create_state(self, num_tasks: int) -> None:
        self.calls = self.add_state("calls", (), 0, dtype="int64")

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(jacobian, 0)
        positive = 0.5 * (1.0 + tf.math.divide_no_nan(total, tf.reduce_sum(tf.abs(jacobian), 0)))
        drawn = draws.uniform(tf.shape(total), draws.next_seed(self.calls, self.seed))
        keep_positive = tf.cast(drawn, jacobian.dtype) < positive
        # what was not drawn is dropped: negative parts where positive ones are kept, and the other way round
        kept = tf.where(keep_positive, tf.maximum(jacobian, 0.0), tf.minimum(jacobian, 0.0))
        return self.leak * total + (1.0 - self.leak) * tf.reduce_sum(kept, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "leak": self.leak, "seed": self.seed}

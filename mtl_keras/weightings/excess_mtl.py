"""Weights that grow with what a task still has to gain."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientAggregator, register
from mtl_keras.weightings.checks import gradient_size, number, whole
from mtl_keras.weightings.simplex import softmax_of

# added to the sums of squares as in the paper's code, so that a parameter without gradients divides too
SQUARES_FLOOR = 1e-7


@register("excess_mtl")
class ExcessMTL(GradientAggregator):
    """Multiplicative weights on estimated excess risks, so that a noisy task does not take over.

    With squares summed over all batches so far, `S_k += g_k^2` per parameter, the excess risk of task k is
    `e_k = sum g_k^2 / sqrt(S_k + 1e-7)`, a second-order estimate with a diagonal Hessian. In units of the mean e_k of
    the task's first `warmup` batches: `w_k *= exp(learning_rate e_k)`, then scaled to sum K; direction `J' w`.

    Args:
        learning_rate: Of the weights, default 0.01 as in LibMTL; TorchJD has 1.0.
        warmup: Batches of a task whose mean e_k is its unit; its weight does not move in them. Default 1, the first
            batch alone, as in LibMTL; the paper takes 3 epochs.

    State, float32: `squares` S [K, P], as large as K copies of the shared parameters; `log_weights` [K] (logarithms,
    so that a weight that has become tiny can come back); `units` [K]; `steps` [K]. Absent tasks keep theirs; the
    present ones sum to their number. A task whose unit is 0 keeps its logarithm.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.ExcessMTL().combine([[1.0, 0.0], [0.0, 2.0]]).numpy().round(4).tolist()
        [1.0, 2.0]

    TorchJD scales the weights to sum 1, which divides the update by K.

    Source: He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024.
    """

    paper = "He et al., Robust Multi-Task Learning with Excess Risks, ICML 2024"

    def __init__(self, learning_rate: float = 0.01, warmup: int = 1, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.learning_rate = number("learning_rate", learning_rate, example=0.01, at_least=0)
        self.warmup = whole("warmup", warmup, example=1, at_least=1)

    def create_state(self, num_tasks: int) -> None:
        self.squares = self.add_state("squares", (num_tasks, gradient_size(self.gradient_size, "ExcessMTL")))
        self.log_weights = self.add_state("log_weights", (num_tasks,))
        self.units = self.add_state("units", (num_tasks,))
        self.steps = self.add_state("steps", (num_tasks,))

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        dtype = jacobian.dtype
        mask = tf.cast(present, dtype)
        squares = tf.cast(tf.convert_to_tensor(self.squares.value), dtype) + jacobian**2
        risks = tf.reduce_sum(jacobian**2 * tf.math.rsqrt(squares + SQUARES_FLOOR), 1)

        steps = tf.cast(tf.convert_to_tensor(self.steps.value), dtype) + mask
        warming = present & (steps <= self.warmup)
        units = tf.cast(tf.convert_to_tensor(self.units.value), dtype)
        units = tf.where(warming, units + tf.math.divide_no_nan(risks - units, steps), units)

        before = tf.cast(tf.convert_to_tensor(self.log_weights.value), dtype)
        gains = self.learning_rate * tf.where(warming, tf.zeros_like(risks), tf.math.divide_no_nan(risks, units))
        # the scale is taken away each time: logarithms stay small, and absent tasks keep their part
        scale = _log_sum(before, present) - _log_sum(before + gains, present)
        log_weights = tf.where(present, before + gains + scale, before)

        self.squares.assign(tf.cast(squares, "float32"))
        self.units.assign(tf.cast(units, "float32"))
        self.log_weights.assign(tf.cast(log_weights, "float32"))
        self.steps.assign(tf.cast(steps, "float32"))
        weights = softmax_of(log_weights, present) * tf.reduce_sum(mask)
        return tf.linalg.matvec(jacobian, weights, transpose_a=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "learning_rate": self.learning_rate, "warmup": self.warmup}


def _log_sum(logarithms: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(tf.where(present, logarithms, tf.constant(float("-inf"), logarithms.dtype)))

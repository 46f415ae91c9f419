"""Losses balanced by a logarithm, gradients by the largest norm."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientAggregator, register
from mtl_keras.weightings.checks import gradient_size, number

# added to the losses as in the paper's code, so that a loss of exactly 0 divides too
LOSS_FLOOR = 1e-8


@register("dbmtl")
class DBMTL(GradientAggregator):
    """Running means of the gradients of the log-losses, all stretched to the longest, then summed.

    With `h_k = g_k / (L_k + 1e-8)`, the gradient of `log(L_k + 1e-8)`, and t the number of batches so far that have
    task k: `b_k = h_k + beta / t^sigma (b_k - h_k)`; direction `sum_k (max_j ||b_j|| / ||b_k||) b_k`.

    Args:
        beta: Share of the past in the running means, 0 to 1, default 0.9; 0 takes each batch for itself.
        sigma: How fast that share falls, default 0.0: it stays.

    State, float32: `averages` b [K, P], as large as K copies of the shared parameters; `steps` t [K]. Absent tasks keep
    theirs and take no part. A task whose running mean is 0 adds nothing. Losses have to stay above 0.

    Example:
        >>> from mtl_keras import weightings
        >>> dbmtl = weightings.DBMTL(beta=0.0)
        >>> dbmtl.combine([[3.0, 4.0], [0.0, 2.0]], losses=[1.0, 2.0]).numpy().round(4).tolist()
        [3.0, 9.0]

    The means are not corrected for their start at 0, as in the authors' code: at beta 0.9 the first update is a tenth
    of a later one. In that code the heads get the gradients of the log-losses too; here they keep their plain ones
    (with `head_gradients="unweighted"`).

    Source: Lin et al., Dual-Balancing for Multi-Task Learning, 2023.
    """

    needs_losses = True
    positive_losses = True
    paper = "Lin et al., Dual-Balancing for Multi-Task Learning, 2023"

    def __init__(self, beta: float = 0.9, sigma: float = 0.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.beta = number("beta", beta, example=0.9, at_least=0, at_most=1)
        self.sigma = number("sigma", sigma, example=0.0, at_least=0)

    def create_state(self, num_tasks: int) -> None:
        self.averages = self.add_state("averages", (num_tasks, gradient_size(self.gradient_size, "DBMTL")))
        self.steps = self.add_state("steps", (num_tasks,))

    def call(self, losses: tf.Tensor, jacobian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        dtype = jacobian.dtype
        mask = tf.cast(present, dtype)
        steps = tf.cast(tf.convert_to_tensor(self.steps.value), dtype) + mask
        past = self.beta * tf.maximum(steps, 1.0) ** -self.sigma
        before = tf.cast(tf.convert_to_tensor(self.averages.value), dtype)
        log_gradients = jacobian / (tf.cast(losses, dtype) + LOSS_FLOOR)[:, None]
        averages = tf.where(present[:, None], log_gradients + past[:, None] * (before - log_gradients), before)
        self.averages.assign(tf.cast(averages, "float32"))
        self.steps.assign(tf.cast(steps, "float32"))
        norms = tf.norm(averages, axis=1) * mask
        return tf.linalg.matvec(averages, tf.math.divide_no_nan(tf.reduce_max(norms), norms), transpose_a=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "sigma": self.sigma}

"""Weights that even out how fast the losses fall, from losses alone."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.adam import Adam
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.per_task import PerTask, checked, resolved
from mtl_keras.weightings.simplex import softmax_of

# added to the losses as in the authors' code, and the least that they count as
LOSS_FLOOR = 1e-8


@register("famo")
class FAMO(LossWeighting):
    """Fast adaptive multitask optimization: all losses are to fall by the same factor, at one more forward pass.

    With `z = softmax(logits)` over the present tasks and `D = L - min_losses + 1e-8`, the update is that of
    `sum_k z_k log D_k / c` with the constant `c = sum_k z_k / D_k`: `w_k = (z_k / D_k) / c`, which sum to 1. After the
    step the same batch is measured again; `delta = log D_before - log D_after` and one Adam step on the logits against
    `J' delta + decay logits`, J the Jacobian of the softmax. A task that fell faster than the others gets less.

    Args:
        learning_rate: Of Adam on the logits, default 0.025.
        decay: Pull of the logits towards 0, i.e. equal z, default 1e-3 as in the authors' runs on NYUv2, QM9 and
            CelebA; 1e-2 in theirs on Cityscapes.
        min_losses: What each loss could fall to at best, default 0.0; a dict by task name or a list. Losses have to
            stay above it; below 0 it is needed where losses can be negative.

    State, float32 [K]: `logits` and Adam's `first_moment`, `second_moment` and `steps`. Absent tasks keep theirs.

    Raises:
        ValueError: A number is not finite or negative where it must not be, or names do not fit the tasks.

    Example:
        >>> from mtl_keras import weightings
        >>> famo = weightings.FAMO()
        >>> famo.combine([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], losses=[1.0, 2.0, 4.0]).numpy().round(4).tolist()
        [0.5714, 0.2857, 0.1429]

    The authors' code also clips the norm of the shared gradient to 1, which is the optimizer's `clipnorm` here.

    Source: Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023.
    """

    second_forward = True
    cost = "one backward and a second forward"
    paper = "Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023"

    def __init__(
        self,
        learning_rate: float = 0.025,
        decay: float = 1e-3,
        min_losses: PerTask = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.learning_rate = number("learning_rate", learning_rate, example=0.025, at_least=0)
        self.decay = number("decay", decay, example=1e-3, at_least=0)
        self.min_losses = checked("min_losses", min_losses, example=0.0)
        given = self.min_losses.values() if isinstance(self.min_losses, dict) else self.min_losses
        self.positive_losses = min(given if not isinstance(given, float) else [given]) >= 0.0

    def create_state(self, num_tasks: int) -> None:
        self.lowest = resolved("min_losses", self.min_losses, [task.name for task in self.tasks])
        self.logits = self.add_state("logits", (num_tasks,))
        self.adam = Adam(self, num_tasks, self.learning_rate)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        shares = softmax_of(tf.convert_to_tensor(self.logits.value), present) / self._above_lowest(losses)
        return tf.math.divide_no_nan(shares, tf.reduce_sum(shares))

    def after_step(self, losses: tf.Tensor, new_losses: tf.Tensor, present: tf.Tensor) -> None:
        fallen = tf.math.log(self._above_lowest(losses)) - tf.math.log(self._above_lowest(new_losses))
        fallen = tf.where(present, fallen, tf.zeros_like(fallen))
        logits = tf.convert_to_tensor(self.logits.value)
        shares = softmax_of(logits, present)
        slope = shares * (fallen - tf.reduce_sum(shares * fallen)) + self.decay * logits
        self.logits.assign(self.adam.step(logits, slope, present))

    def _above_lowest(self, losses: tf.Tensor) -> tf.Tensor:
        return tf.maximum(losses - tf.constant(self.lowest), 0.0) + LOSS_FLOOR

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate": self.learning_rate,
            "decay": self.decay,
            "min_losses": self.min_losses,
        }

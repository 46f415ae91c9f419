"""Weights that are learned from what a step does to other examples."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.adam import Adam
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number

Gains = Callable[[tf.Tensor, tf.Tensor, float | None], tf.Tensor]


@register("auto_lambda")
class AutoLambda(LossWeighting):
    """Auto-lambda: a task counts more while training on it lowers the primary tasks' loss on other examples.

    The model takes a trial step `theta' = theta - alpha sum_k w_k grad L_k` on the training batch. With d, the gradient
    at theta' of the primary tasks' summed loss on a batch of other examples, the derivative of that loss by `w_k` is
    `-alpha d . grad L_k`; it is taken from the training losses at `theta + eps d` and `theta - eps d`,
    `eps = 0.01 / ||d||`. One Adam step on w follows, and then the real step with the new weights.

    The other examples come from `fit(weighting_data=...)`. The authors take the training data in another order;
    examples that are not trained on say more about what generalises.

    Args:
        learning_rate: Of Adam on the weights, default 1e-4 as in the authors' runs on NYUv2; 3e-5 in theirs on
            Cityscapes. LibMTL has 1e-3.
        initial_weight: Of every task, at least 0, default 0.1.
        primary: Names of the tasks that matter; None (default) for all. The others are there to help them.
        step_size: alpha; None (default) for the optimizer's learning rate at the time (with `optimizers.per_task` that
            of the shared variables).

    State, float32 [K]: `learned_weights`, Adam's `first_moment`, `second_moment` and `steps`. A task without a label in
    the training batch keeps its own, and so does one whose derivative is not finite (float16 that overflows). A weight
    that has fallen below 0 counts as 0 until it comes back; the authors' code trains such a task backwards.

    The trial step is one of plain gradient descent, whatever the optimizer, without momentum and weight decay, which
    the authors' code adds; regularization takes no part in it.

    Raises:
        ValueError: A number is not finite or negative, or `primary` names no task of the model.

    Example:
        >>> from mtl_keras import weightings
        >>> auto = weightings.AutoLambda(learning_rate=0.01).bind(["age", "gender"])
        >>> gains = [1.0, -1.0]  # training on age helps, training on gender harms
        >>> auto.look_ahead(lambda weights, counted, step_size: tf.constant(gains), tf.constant([True, True]))
        >>> [f"{weight:.2f}" for weight in auto.learned_weights.numpy()]
        ['0.11', '0.09']

    Source: Liu et al., Auto-Lambda: Disentangling Dynamic Task Relationships, TMLR 2022.
    """

    validation_batches = True
    cost = "three backwards and five forwards"
    paper = "Liu et al., Auto-Lambda: Disentangling Dynamic Task Relationships, TMLR 2022"

    def __init__(
        self,
        learning_rate: float = 1e-4,
        initial_weight: float = 0.1,
        primary: Sequence[str] | None = None,
        step_size: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.learning_rate = number("learning_rate", learning_rate, example=1e-4, at_least=0)
        self.initial_weight = number("initial_weight", initial_weight, example=0.1, at_least=0)
        self.step_size = None if step_size is None else number("step_size", step_size, example=0.1, at_least=0)
        self.primary = None if primary is None else list(primary)
        if isinstance(primary, str) or self.primary == []:
            raise ValueError(message("the primary tasks as a list of names", "pass primary=['age']", primary=primary))

    def create_state(self, num_tasks: int) -> None:
        names = [task.name for task in self.tasks]
        for task in self.primary or []:
            if task not in names:
                raise ValueError(message(f"primary tasks among {names}", "correct the name", primary=task))
        self.counted = [float(self.primary is None or name in self.primary) for name in names]
        self.learned_weights = self.add_state("learned_weights", (num_tasks,), self.initial_weight)
        self.adam = Adam(self, num_tasks, self.learning_rate)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return self._applied() * tf.cast(present, "float32")

    def look_ahead(self, gains_of: Gains, present: tf.Tensor) -> None:
        gains = gains_of(self._applied(), tf.constant(self.counted), self.step_size)
        measured = present & tf.math.is_finite(gains)
        weights = tf.convert_to_tensor(self.learned_weights.value)
        self.learned_weights.assign(self.adam.step(weights, tf.where(measured, -gains, 0.0), measured))

    def _applied(self) -> tf.Tensor:
        return tf.maximum(tf.convert_to_tensor(self.learned_weights.value), 0.0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "learning_rate": self.learning_rate,
            "initial_weight": self.initial_weight,
            "primary": self.primary,
            "step_size": self.step_size,
        }

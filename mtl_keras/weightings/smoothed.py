"""Weights that follow a method slowly."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.wrapper import Wrapper


@register("smoothed")
class Smoothed(Wrapper):
    """CR-MOGM: the running mean of a method's weights, `w_t = beta w_{t-1} + (1 - beta) v_t`, v_t those of the method.

    Args:
        inner: The method, a weighting, config or name; default `"pcgrad"`. It has to give weights: an aggregator,
            which gives a direction, is refused.
        beta: Share of the past, 0 to 1, default 0.9 as in the paper; 0 is the method itself, 1 keeps its first weights.

    State, float32 [K]: `held` w, and `started`, 1 for tasks that have weights. Absent tasks keep theirs and weigh 0.
    The inner method moves its own state at every step. Where its weights are trained, they are trained as without the
    wrapper; only what is applied to the losses is smoothed.

    Raises:
        ValueError: The inner method gives no weights, or `beta` is not between 0 and 1.

    Example:
        >>> from mtl_keras import weightings
        >>> smoothed, rows = weightings.Smoothed("inverse_loss", beta=0.5), [[1.0, 0.0], [0.0, 1.0]]
        >>> for losses in ([1.0, 1.0], [0.5, 1.0]):
        ...     direction = smoothed.combine(rows, losses)
        >>> direction.numpy().tolist()
        [1.5, 1.0]

    Each task begins with its first weight, whatever these sum to; TorchJD begins at 1/K.

    Source: Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond, NeurIPS
    2022.
    """

    paper = "Zhou et al., On the Convergence of Stochastic Multi-Objective Gradient Manipulation, NeurIPS 2022"

    def __init__(self, inner: Any = "pcgrad", beta: float = 0.9, name: str | None = None, **kwargs: Any):
        super().__init__([inner], name=name, **kwargs)
        self.beta = number("beta", beta, example=0.9, at_least=0, at_most=1)
        if self.reads == "jacobian":
            raise ValueError(
                message(
                    "a method that gives weights, which can be smoothed; an aggregator gives a direction",
                    "choose one that reads losses or the Gramian",
                    inner=self.inner.name,
                )
            )

    def create_state(self, num_tasks: int) -> None:
        super().create_state(num_tasks)
        self.held = self.add_state("held", (num_tasks,))
        self.started = self.add_state("started", (num_tasks,))

    def call(self, losses: tf.Tensor, *rest: tf.Tensor) -> tf.Tensor:
        present = rest[-1]
        fresh = tf.cast(self.inner.call(losses, *rest), tf.float32)
        held, started = tf.convert_to_tensor(self.held.value), tf.convert_to_tensor(self.started.value)
        smooth = tf.where(started > 0.0, self.beta * held + (1.0 - self.beta) * fresh, fresh)
        self.held.assign(tf.where(present, smooth, held))
        self.started.assign(tf.maximum(started, tf.cast(present, tf.float32)))
        return self._with_gradients_of(fresh, smooth) * tf.cast(present, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta}

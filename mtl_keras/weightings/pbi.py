"""Distance to the ideal point along a wanted direction, with a penalty on leaving it."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.per_task import PerTask, checked, checked_preference, resolved, resolved_preference

# below this part of the length of f the distance from the line is rounding
ON_THE_LINE = 1e-12


@register("pbi")
class PBI(LossWeighting):
    """Penalty-based boundary intersection: `total = d1 + theta d2`.

    With `f = L - ideal` and u the preference scaled to length 1: `d1 = f . u` is how far the losses are along the
    wanted direction, `d2 = ||f - d1 u||` how far beside it. So `w = u + theta (f - d1 u) / d2`, or u where `d2` is 0.

    Args:
        theta: At least 0, default 5.0; 0 is a plain weighted sum.
        preference: The wanted ratio of the losses, None (default) for equal ones, a dict by task name or a list.
        ideal: The loss that each task could reach at best, default 0.0 for all, a dict by task name or a list.

    A task ahead of the wanted ratio gets a *negative* weight as soon as theta is large enough: the method then gives up
    what the task has gained to come back to the line.

    Raises:
        ValueError: A number is not finite, theta or a preference is negative, or names do not fit the tasks.

    Example:
        >>> from mtl_keras import weightings
        >>> pbi = weightings.PBI(theta=1.0).bind(["a", "b"])
        >>> round(float(pbi.total([1.0, 3.0])), 4)  # d1 = 4 / sqrt 2, d2 = 2 / sqrt 2
        4.2426

    Source: Zhang, Li, MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition, IEEE Transactions on
    Evolutionary Computation 2007.
    """

    paper = "Zhang and Li, MOEA/D, IEEE Transactions on Evolutionary Computation 2007"

    def __init__(
        self,
        theta: float = 5.0,
        preference: Any = None,
        ideal: PerTask = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.theta = number("theta", theta, example=5.0, at_least=0)
        self.preference = checked_preference(preference)
        self.ideal = checked("ideal", ideal, example=0.0)

    def create_state(self, num_tasks: int) -> None:
        names = [task.name for task in self.tasks]
        self.directions = resolved_preference(self.preference, names)
        self.ideals = resolved("ideal", self.ideal, names)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(present, tf.float64)
        along = mask * tf.constant(self.directions, tf.float64)
        along = tf.math.divide_no_nan(along, tf.norm(along))
        distance = mask * (tf.cast(losses, tf.float64) - tf.constant(self.ideals, tf.float64))
        beside = distance - tf.reduce_sum(distance * along) * along
        length = tf.norm(beside)
        length = tf.where(length > ON_THE_LINE * tf.norm(distance), length, tf.zeros_like(length))
        return tf.cast(along + self.theta * tf.math.divide_no_nan(beside, length), tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "theta": self.theta, "preference": self.preference, "ideal": self.ideal}

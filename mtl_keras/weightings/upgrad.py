"""Every gradient projected on the directions that harm no task, then summed."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.per_task import checked_preference, resolved_preference
from mtl_keras.weightings.simplex import shares_of
from mtl_keras.weightings.solvers import cone_weights, rows_of


@register("upgrad")
class UPGrad(GradientWeighting):
    """Unconflicting projection of gradients: `d = sum_k p_k pi(g_k)`, solved exactly.

    `pi` projects on the cone of directions with a product of at least 0 with *every* gradient, so that no task loses,
    and tasks that conflict with none are left as they are. With two tasks it is half of `PCGrad`.

    Args:
        preference: p, None (default) for 1/K, a dict by task name or a list; scaled to sum 1 over the present tasks.

    The update is linear in the length of each gradient as long as the conflicts stay. Weights are at least p. A task
    with a zero gradient adds nothing and restrains nothing. Where gradients are dependent weights are not unique, the
    update is; of what restrains the others, equal gradients add equal parts.

    Raises:
        ValueError: The preference does not fit.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.UPGrad().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.2924, 1.9006, 1.9006]

    TorchJD and LibMTL add `1e-4 trace(G)` to the diagonal, which costs tasks with small gradients their protection, and
    take the plain mean once all gradients are small.

    Source: Quinton, Rey, Jacobian Descent for Multi-Objective Optimization, 2024.
    """

    paper = "Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024"

    def __init__(self, preference: Any = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.preference = checked_preference(preference)

    def create_state(self, num_tasks: int) -> None:
        self.preferences = resolved_preference(self.preference, [task.name for task in self.tasks])

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        preference = shares_of(tf.constant(self.preferences, rows.norms.dtype), present)
        return tf.reduce_sum(cone_weights(rows, tf.linalg.diag(preference)), 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preference": self.preference}

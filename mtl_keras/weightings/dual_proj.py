"""The mean gradient, projected on the directions that harm no task."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.per_task import checked_preference, resolved_preference
from mtl_keras.weightings.simplex import shares_of
from mtl_keras.weightings.solvers import cone_weights, rows_of


@register("dual_proj")
class DualProj(GradientWeighting):
    """Dual projection: `d = pi(sum_k p_k g_k)`, the nearest direction to the mean that harms no task, solved exactly.

    `pi` projects on the cone of directions with a product of at least 0 with every gradient.

    Args:
        preference: p, None (default) for 1/K, a dict by task name or a list; scaled to sum 1 over the present tasks.

    Weights are at least p. A task with a zero gradient counts in the mean and restrains nothing. Where gradients are
    dependent weights are not unique, the update is; of what restrains the others, equal gradients add equal parts.

    Raises:
        ValueError: The preference does not fit.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.DualProj().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.5556, 1.1111, 1.1111]

    Gradient episodic memory projects the gradient of the task at hand; the mean in its place is TorchJD's, which adds
    `1e-4 trace(G)` to the diagonal: see `UPGrad`.

    Source: Lopez-Paz, Ranzato, Gradient Episodic Memory for Continual Learning, NeurIPS 2017.
    """

    paper = "Lopez-Paz and Ranzato, Gradient Episodic Memory for Continual Learning, NeurIPS 2017"

    def __init__(self, preference: Any = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.preference = checked_preference(preference)

    def create_state(self, num_tasks: int) -> None:
        self.preferences = resolved_preference(self.preference, [task.name for task in self.tasks])

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        preference = shares_of(tf.constant(self.preferences, rows.norms.dtype), present)
        return cone_weights(rows, preference[None])[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preference": self.preference}

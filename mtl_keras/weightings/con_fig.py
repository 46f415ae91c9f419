"""The direction with the same cosine to every gradient."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.per_task import checked_preference, resolved_preference
from mtl_keras.weightings.solvers import projection_weights, rows_of


@register("con_fig")
class ConFIG(GradientWeighting):
    """Conflict-free inverse gradients: `d = (sum_k g_k . u) u`, u the unit vector with the same cosine to every g_k.

    With U the gradients scaled to unit length, `u = U^+ 1` scaled to length 1: weights follow from `C b = 1`, C the
    cosines. The update is as long as the sum of the gradients' projections on u.

    Args:
        preference: Wanted ratio of the cosines, in the place of 1; None (default), a dict by task name or a list. Its
            scale does not matter.

    Every task gains where the gradients are linearly independent. Where they are not, u has the least squared error of
    the projections, `sum_k g_k . d >= 0` is all that is left for certain, and equal gradients share one weight equally.
    Two opposed tasks get 0. Tasks with a zero gradient are left out. One task gets its plain gradient.

    Raises:
        ValueError: The preference does not fit.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.ConFIG().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.1588, 2.0706, 2.0706]

    The paper's momentum form, which takes one task's gradient a step, is left out.

    Source: Liu, Chu, Thuerey, ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025.
    """

    paper = "Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025"

    def __init__(self, preference: Any = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.preference = checked_preference(preference)

    def create_state(self, num_tasks: int) -> None:
        self.preferences = resolved_preference(self.preference, [task.name for task in self.tasks])

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        wanted = tf.constant(self.preferences, rows.norms.dtype) * float(len(self.preferences))
        weights = projection_weights(rows, wanted)
        direction = tf.linalg.matvec(rows.units, weights, transpose_a=True)
        projections = tf.reduce_sum(tf.linalg.matvec(rows.vectors, direction))
        square = tf.reduce_sum(direction**2)
        return rows.for_gradients(weights) * tf.math.divide_no_nan(projections, square)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preference": self.preference}

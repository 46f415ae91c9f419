"""A bargain among the tasks: the step at which the product of their gains is greatest."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.solvers import fair_weights, rows_of


@register("nash_mtl")
class NashMTL(GradientWeighting):
    """The Nash bargaining solution: the direction of a given length with the greatest `sum_k log(g_k . d)`.

    It is `d = sum_k a_k g_k` with the a > 0 that solves `a_k (G a)_k = 1`, found exactly by Newton's method.

    Args:
        max_norm: Longest update, default 1.0; 0 for no limit. Without one its length is the root of K, whatever the
            gradients' lengths.

    Every task gains: `g_k . d = 1 / a_k`. The direction does not see the gradients' lengths at all, so learning rates
    mean something else than elsewhere, and the update does not die out as gradients do. Tasks with a zero gradient are
    left out. A solution exists unless gradients cancel each other in some combination with weights above 0; then the
    weights are large, as if `1e-6 ||g_k||^2` were added to the diagonal of G, and the update is next to nothing among
    the tasks that cancel. Equal gradients get equal weights.

    Raises:
        ValueError: `max_norm` is negative or not finite.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.NashMTL().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.0542, 0.7061, 0.7061]

    The authors' code makes 20 steps of a concave-convex procedure, which does not converge where scales differ widely.
    It weighs the heads' losses too, as `head_gradients="weighted"` does here, but without the limit of the norm. To use
    weights for several steps, as the paper does in some runs, wrap it: `EveryN(NashMTL(), n)`.

    Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022.
    """

    paper = "Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022"

    def __init__(self, max_norm: float = 1.0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.max_norm = number("max_norm", max_norm, example=1.0, at_least=0)

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        weights = fair_weights(rows, power=1.0)
        if self.max_norm == 0:
            return weights
        length = tf.norm(tf.linalg.matvec(rows.vectors, weights, transpose_a=True))
        limit = tf.constant(self.max_norm, length.dtype)
        return weights * tf.minimum(tf.math.divide_no_nan(limit, length), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_norm": self.max_norm}

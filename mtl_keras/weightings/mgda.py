"""The shortest combination of the gradients: the direction along which all tasks gain."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.positive import above_zero
from mtl_keras.weightings.solvers import least_norm, rows_of

NORMALIZATIONS = ("none", "l2", "loss", "loss+")


@register("mgda")
class MGDA(GradientWeighting):
    """Multiple gradient descent: `w = argmin ||sum_k w_k g_k / m_k||^2` over `w >= 0` with sum 1, solved exactly.

    The direction is `d = sum_k w_k g_k / m_k`, so that `g_k . d / m_k >= ||d||^2` for every task: none loses, and d is
    0 only where no direction exists along which all gain.

    Args:
        normalization: What m is. `"none"` (default): 1; `"l2"`: `||g_k||`; `"loss"`: `L_k`; `"loss+"`: `L_k ||g_k||`.
            The two with the loss need losses above 0.

    Weights sum to 1 without normalization, so that the update is at most as long as the shortest gradient: with SGD
    learning rates have to be larger than for the sum. Tasks with a zero gradient, which would make every update 0, are
    left out. Tasks with equal gradients get equal weights.

    Raises:
        ValueError: `normalization` is none of the four.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.MGDA().combine([[2.0, 0.0], [0.0, 1.0]]).numpy().round(4).tolist()
        [0.4, 0.8]

    LibMTL, like we, adds normalized gradients; the authors' code takes the w of normalized gradients for the plain
    ones, which can harm a task. Other code approximates w by Frank-Wolfe or projected gradient steps, LibMTL keeps it
    between 0.001 and 0.999 for two tasks, and nash-mtl multiplies it by K. With `scope="features"` this is MGDA-UB.

    Source: Sener, Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018; Désidéri, 2012.
    """

    paper = "Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018"

    def __init__(self, normalization: str = "none", name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if normalization not in NORMALIZATIONS:
            raise ValueError(
                message(f"a normalization among {list(NORMALIZATIONS)}", "choose one", normalization=normalization)
            )
        self.normalization = normalization
        self.needs_losses = self.positive_losses = "loss" in normalization

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        rows = rows_of(gramian, present)
        divisors = tf.ones_like(rows.norms)
        if "loss" in self.normalization:
            divisors = above_zero(tf.cast(losses, divisors.dtype), present)
        if self.normalization in ("l2", "loss+"):
            divisors *= tf.where(rows.active, rows.norms, 1.0)
        return least_norm(rows.vectors / divisors[:, None], rows.active) / divisors

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalization": self.normalization}

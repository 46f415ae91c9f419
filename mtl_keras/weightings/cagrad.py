"""The mean gradient, bent towards the task that gains least from it."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.solvers import worst_case_in_ball

RESCALES = ("none", "square", "linear")


@register("cagrad")
class CAGrad(GradientWeighting):
    """Conflict-averse gradient: near the mean gradient g0, the direction whose worst task gains most.

    `d = argmax min_k g_k . d` over `||d - g0|| <= c ||g0||`, solved exactly: `d = g0 + (c ||g0|| / ||g_w||) g_w`, with
    `g_w = sum_k w_k g_k` and w of sum 1 the minimum of `g_w . g0 + c ||g0|| ||g_w||`.

    Args:
        c: Radius of the ball as a part of the mean gradient's length, at least 0, default 0.5 as in LibMTL; other code
            has 0.4. 0 is the mean gradient; below 1 the mean loss still falls; large values come to `MGDA`.
        rescale: What d is divided by: `"none"` (default) as in the paper, `"square"`: `1 + c^2`, the default of the
            authors' code and LibMTL, `"linear"`: `1 + c`, the greatest length that d can have for a mean of length 1.

    A task with a zero gradient counts in the mean, but not among the worst: nothing could help it. Where every
    direction harms some task, d is the nearest to g0 that harms none, as `DualProj` gives it, if the ball has one.
    Equal gradients get equal weights. One task gives `(1 + c) g`.

    Raises:
        ValueError: `c` is negative or not finite, or `rescale` none of the three.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.CAGrad(c=0.5).combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.1835, 1.2041, 1.2041]

    The authors' code multiplies by K besides. TorchJD gives 0, and training stops, where the gradients or one of them
    are small; LibMTL's solver does not move from w = 1/K where the gradients' scales differ widely.

    Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021.
    """

    paper = "Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021"

    def __init__(self, c: float = 0.5, rescale: str = "none", name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.c = number("c", c, example=0.5, at_least=0)
        if rescale not in RESCALES:
            raise ValueError(message(f"a rescale among {list(RESCALES)}", "choose one", rescale=rescale))
        self.rescale = rescale

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        gramian = tf.cast(gramian, tf.float64)
        mask = tf.cast(present, gramian.dtype)
        mean = tf.math.divide_no_nan(mask, tf.reduce_sum(mask))
        weights = mean
        if self.c > 0:
            weights += worst_case_in_ball(gramian, present, mean, self.c)
        return weights / {"none": 1.0, "square": 1.0 + self.c**2, "linear": 1.0 + self.c}[self.rescale]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "c": self.c, "rescale": self.rescale}

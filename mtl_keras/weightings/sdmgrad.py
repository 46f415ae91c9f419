"""The smallest combination near the mean gradient, walked to without bias."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number, whole
from mtl_keras.weightings.simplex import project_to_simplex, shares_of, with_shares


@register("sdmgrad")
class SDMGrad(GradientWeighting):
    """Projected gradient steps with momentum on the direction-oriented problem, from two halves of the batch.

    With `A = J1 J2' / s^2`, s the mean over tasks of the root of A's diagonal (negative entries count as 0):
    `iterations` times `v = momentum v + A (w + lam/K 1)`, `w = project(w - learning_rate v)` on the simplex, from the w
    of the batch before and `v = 0`. The update is `J' (w + lam/K 1) / (1 + lam)`: weights sum to 1.

    Args:
        lam: Pull of the direction towards the mean gradient, default 0.3.
        learning_rate: Of w, default 10.0 as in the official code and TorchJD; LibMTL has 5.
        momentum: 0 to 1, default 0.5.
        iterations: Steps on w a batch, default 20.

    State: `mixture` w, float32 [K], 1/K at first. Absent tasks keep theirs and do not count in K.

    Example:
        >>> from mtl_keras import weightings
        >>> sdmgrad = weightings.SDMGrad(learning_rate=0.1, iterations=1, lam=0.0)
        >>> sdmgrad.combine([[2.0, 0.0], [0.0, 0.0]]).numpy().round(4).tolist()
        [0.8, 0.0]

    The paper draws three batches a step; the official code hands over one batch three times, so that nothing is
    unbiased in it. Here J1 and J2 are the two halves of the batch, and the update takes the whole. Where no task has a
    positive product of halves A counts as 0 and w stays, where other code divides by 1e-8.

    Source: Xiao, Ban, Ji, Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms,
    NeurIPS 2023.
    """

    cross_gramian = True
    scopes = ("parameters", "last_layer")  # halves of a batch have no features in common
    cost = "last_layer: one backward; parameters: 2K trunk backwards"
    paper = "Xiao et al., Direction-oriented Multi-objective Learning, NeurIPS 2023"

    def __init__(
        self,
        lam: float = 0.3,
        learning_rate: float = 10.0,
        momentum: float = 0.5,
        iterations: int = 20,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.lam = number("lam", lam, example=0.3, at_least=0)
        self.learning_rate = number("learning_rate", learning_rate, example=10.0, at_least=0)
        self.momentum = number("momentum", momentum, example=0.5, at_least=0, at_most=1)
        self.iterations = whole("iterations", iterations, example=20, at_least=1)

    def create_state(self, num_tasks: int) -> None:
        self.mixture = self.add_state("mixture", (num_tasks,), 1.0 / num_tasks)

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(present, gramian.dtype)
        count = tf.reduce_sum(mask)
        scale = tf.math.divide_no_nan(tf.reduce_sum(tf.sqrt(tf.maximum(tf.linalg.diag_part(gramian), 0.0))), count)
        scaled = tf.math.divide_no_nan(gramian, scale**2)
        pull = tf.math.divide_no_nan(self.lam * mask, count)

        def walk(step: tf.Tensor, shares: tf.Tensor, velocity: tf.Tensor) -> tuple[tf.Tensor, ...]:
            velocity = self.momentum * velocity + tf.linalg.matvec(scaled, shares + pull)
            return step + 1, project_to_simplex(shares - self.learning_rate * velocity, present), velocity

        mixture = tf.cast(tf.convert_to_tensor(self.mixture.value), gramian.dtype)
        start = (tf.constant(0), shares_of(mixture, present), tf.zeros_like(mask))
        _, shares, _ = tf.while_loop(lambda step, *_: step < self.iterations, walk, start)
        self.mixture.assign(tf.cast(with_shares(mixture, shares, present), "float32"))
        return (shares + pull) / (1.0 + self.lam)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "lam": self.lam,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "iterations": self.iterations,
        }

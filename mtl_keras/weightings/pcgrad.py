"""Gradient surgery: what conflicts is projected away."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings import draws
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import whole
from mtl_keras.weightings.solvers import split_lengths
from mtl_keras.weightings.visits import random_visits, summed


@register("pcgrad")
class PCGrad(GradientWeighting):
    """Project each task's gradient off those it conflicts with, then sum.

    For each task i, over the others j in random order: where `g_i' . g_j < 0`, take
    `g_i' -= (g_i' . g_j / ||g_j||^2) g_j`; the direction is `sum_i g_i'`. All of it happens in coefficients: `g_i'` is
    a combination of the g_k whose inner products follow from the Gramian, so that no K×P matrix is needed.

    Args:
        seed: Of the orders, default 0. With two tasks the order does not matter.

    Weights are at least 1 for present tasks, for every projection adds to the task that is projected on. A present
    task with a zero gradient conflicts with none. The orders are the same on every replica.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.PCGrad().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.5848, 3.8012, 3.8012]

    We take the sum, as the official code does; other code takes the mean, which is this divided by K. A task is never
    projected on itself: LibMTL visits j = i as well, and adds 1e-8 to `||g_j||^2`, which we do not need.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020.
    """

    paper = "Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020"

    def __init__(self, seed: int = 0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.seed = whole("seed", seed, example=0)

    def create_state(self, num_tasks: int) -> None:
        self.calls = self.add_state("calls", (), 0, dtype="int64")

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        cosines, norms, _ = split_lengths(gramian, present)
        visits = random_visits(gramian.shape[0], draws.next_seed(self.calls, self.seed))

        def visit(_: tf.Tensor, other: tf.Tensor, products: tf.Tensor) -> tuple[list, list]:
            change = tf.nn.relu(-tf.gather(products, other, batch_dims=1))
            return [products + change[:, None] * tf.gather(cosines, other)], [change]

        # products of what has become of each gradient with all others, as if all had length 1 at first
        (changes,) = visits.take(visit, cosines, keeps=1)
        return summed(visits.by_pair(changes), norms, present)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

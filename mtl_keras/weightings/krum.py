"""The gradients that stand closest to their neighbours."""

from typing import Any

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import whole


@register("krum")
class Krum(GradientWeighting):
    """The mean of the `selected` gradients with the lowest score: their distance to the nearest others.

    `score_i = sum of ||g_i - g_j||^2` over the `K - byzantine - 2` nearest j. Distances come from the Gramian,
    `||g_i - g_j||^2 = G_ii + G_jj - 2 G_ij`. Weights are `1 / selected` or 0; of equal scores the earlier task is
    taken.

    Args:
        byzantine: How many tasks may go astray, default 1. At least `byzantine + 3` tasks are needed.
        selected: How many gradients to average, default 1 (Krum); more is Multi-Krum.

    Raises:
        ValueError: There are fewer than `byzantine + 3` tasks or fewer than `selected`.

    With tasks absent, the rule runs on the m present ones, with `max(1, m - byzantine - 2)` neighbours and at most m
    selected.

    Example:
        >>> from mtl_keras import weightings
        >>> astray = [75.0, -666.0, 23.0]
        >>> rows = [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], astray, [1.0, 2.0, 3.0], [2.0, 0.0, 1.0]]
        >>> weightings.Krum(byzantine=1, selected=4).combine(rows).numpy().tolist()
        [1.25, 0.75, 1.5]

    TorchJD adds plain distances; the paper, and we, their squares. Made against dishonest workers, not for
    multi-task learning: a task that differs for good reason is left out too.

    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent, NeurIPS 2017.
    """

    paper = "Blanchard et al., Machine Learning with Adversaries, NeurIPS 2017"

    def __init__(self, byzantine: int = 1, selected: int = 1, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.byzantine = whole("byzantine", byzantine, example=1)
        self.selected = whole("selected", selected, example=1, at_least=1)

    def create_state(self, num_tasks: int) -> None:
        if num_tasks < self.byzantine + 3:
            raise ValueError(
                message(
                    f"at least byzantine + 3 = {self.byzantine + 3} tasks",
                    "pass a smaller byzantine or use another method",
                    tasks=num_tasks,
                    byzantine=self.byzantine,
                )
            )
        if num_tasks < self.selected:
            raise ValueError(
                message("at most as many selected as tasks", "pass less", tasks=num_tasks, selected=self.selected)
            )

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        num_tasks = gramian.shape[0]
        far = tf.constant(float("inf"), gramian.dtype)
        squares = tf.linalg.diag_part(gramian)
        distances = tf.maximum(squares[:, None] + squares[None, :] - 2.0 * gramian, 0.0)
        pairs = present[:, None] & present[None, :] & ~tf.eye(num_tasks, dtype=tf.bool)
        ascending = tf.sort(tf.where(pairs, distances, far), axis=1)

        count = tf.reduce_sum(tf.cast(present, tf.int32))
        neighbours = tf.range(num_tasks) < tf.maximum(count - self.byzantine - 2, 1)
        scores = tf.reduce_sum(tf.where(neighbours & tf.math.is_finite(ascending), ascending, 0.0), 1)
        ranks = tf.argsort(tf.argsort(tf.where(present, scores, far), stable=True), stable=True)
        chosen = tf.cast((ranks < self.selected) & present, gramian.dtype)
        return tf.math.divide_no_nan(chosen, tf.reduce_sum(chosen))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "byzantine": self.byzantine, "selected": self.selected}

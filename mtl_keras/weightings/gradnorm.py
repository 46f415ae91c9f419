"""Weights that bring the tasks' gradients to sizes that fit their pace."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings.adam import Adam
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number
from mtl_keras.weightings.simplex import shares_of, with_shares


@register("gradnorm")
class GradNorm(GradientWeighting):
    """Weights trained so that weighted gradient norms are equal but for the pace: slower tasks get longer gradients.

    With `n_k = w_k ||g_k||` and the pace `r_k = (L_k / L_k(0)) / mean_j (L_j / L_j(0))`: one Adam step on w against
    `sum_k |n_k - mean(n) r_k^alpha|`, in which `mean(n) r_k^alpha` counts as a constant; then w is scaled to sum K.
    The weights of a batch are those from before its step. `L_k(0)` is the loss of the first batch that has the task.

    Args:
        alpha: How strongly the pace is evened out, at least 0, default 1.5 as in most runs of the paper; SamsungLabs'
            code has 2. At 0 all norms are brought to be equal.
        learning_rate: Of Adam on w, default 0.025.

    State, float32 [K]: `task_weights`, 1 at first; `initial_losses`; `steps`; Adam's `first_moment` and
    `second_moment`. Absent tasks keep theirs and do not count in the means; the weights of the present ones sum to
    their number. Weights do not go below 0. Losses have to stay above 0.

    The paper's scope is the last shared layer, `scope="last_layer"`; `"features"` and `"parameters"` serve as well.

    Example:
        >>> from mtl_keras import weightings
        >>> gradnorm = weightings.GradNorm()
        >>> for _ in range(2):
        ...     direction = gradnorm.combine([[3.0, 0.0], [0.0, 1.0]], losses=[1.0, 1.0])
        >>> direction.numpy().round(3).tolist()
        [2.925, 1.025]

    LibMTL trains `w = K softmax(p)` with the model's optimizer on all shared parameters, takes the mean losses of the
    first epoch for `L_k(0)` and keeps w at 1 in that epoch.

    Source: Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks, ICML
    2018.
    """

    needs_losses = True
    positive_losses = True
    paper = "Chen et al., GradNorm, ICML 2018"

    def __init__(self, alpha: float = 1.5, learning_rate: float = 0.025, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.alpha = number("alpha", alpha, example=1.5, at_least=0)
        self.learning_rate = number("learning_rate", learning_rate, example=0.025, at_least=0)

    def create_state(self, num_tasks: int) -> None:
        self.task_weights = self.add_state("task_weights", (num_tasks,), 1.0)
        self.initial_losses = self.add_state("initial_losses", (num_tasks,))
        self.adam = Adam(self, num_tasks, self.learning_rate)

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        dtype = gramian.dtype
        losses = tf.cast(losses, dtype)
        mask = tf.cast(present, dtype)
        count = tf.reduce_sum(mask)
        held = tf.cast(tf.convert_to_tensor(self.task_weights.value), dtype)
        weights = shares_of(held, present) * count

        first_time = tf.convert_to_tensor(self.adam.steps.value) == 0.0
        initial = tf.cast(tf.convert_to_tensor(self.initial_losses.value), dtype)
        initial = tf.where(present & first_time, losses, initial)

        norms = tf.sqrt(tf.maximum(tf.linalg.diag_part(gramian), 0.0))
        lengths = weights * norms
        ratios = mask * tf.math.divide_no_nan(losses, initial)
        paces = tf.math.divide_no_nan(ratios * count, tf.reduce_sum(ratios))
        targets = tf.math.divide_no_nan(tf.reduce_sum(lengths), count) * paces**self.alpha
        slope = mask * tf.sign(lengths - targets) * norms

        stepped = self.adam.step(tf.cast(weights, tf.float32), tf.cast(slope, tf.float32), present)
        shares = shares_of(tf.maximum(stepped, 0.0), present)
        self.task_weights.assign(with_shares(tf.cast(held, tf.float32), shares, present))
        self.initial_losses.assign(tf.cast(initial, "float32"))
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "learning_rate": self.learning_rate}

"""Weights from how much the losses vary around their course."""

import tensorflow as tf

from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.positive import above_zero
from mtl_keras.weightings.simplex import shares_of

# under the root, as in the paper's code: a task that never varied keeps a weight
VARIANCE_FLOOR = 1e-8


@register("cov")
class CoV(LossWeighting):
    """Coefficient of variation: a task whose loss varies more, compared with its mean, still has more to learn.

    With the ratio `l = L / (mean of L over the batches before)`, 1 in the first batch: `c_k = sigma(l_k) / mean(l_k)`
    over all batches before this one, `w = c / sum c` over the present tasks. In the first two batches, and as long as a
    present task has had fewer than two, weights are equal.

    Weights sum to 1, so that the update is about 1/K of the sum. `sigma^2` is `S / n + 1e-8`, n the number of batches.
    Losses have to stay above 0; smaller ones count as 1e-12.

    State, float32 [K], by Welford's update: `steps`, `mean_losses`, `mean_ratios`, `squares` (S). Absent tasks keep
    theirs.

    Example:
        >>> from mtl_keras import weightings
        >>> cov, rows = weightings.CoV(), [[1.0, 0.0], [0.0, 1.0]]
        >>> for losses in ([1.0, 1.0], [0.5, 0.9], [0.4, 0.8]):
        ...     direction = cov.combine(rows, losses)
        >>> direction.numpy().round(4).tolist()
        [0.8636, 0.1364]

    We take the statistics without the current batch, as the authors' code does; their variant with decaying means is
    left out.

    Source: Groenendijk et al., Multi-Loss Weighting with Coefficient of Variations, WACV 2021.
    """

    positive_losses = True
    paper = "Groenendijk et al., Multi-Loss Weighting with Coefficient of Variations, WACV 2021"

    def create_state(self, num_tasks: int) -> None:
        self.steps = self.add_state("steps", (num_tasks,))
        self.mean_losses = self.add_state("mean_losses", (num_tasks,))
        self.mean_ratios = self.add_state("mean_ratios", (num_tasks,))
        self.squares = self.add_state("squares", (num_tasks,))

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        states = (self.steps, self.mean_losses, self.mean_ratios, self.squares)
        steps, mean_losses, mean_ratios, squares = (tf.convert_to_tensor(v.value) for v in states)

        deviations = tf.sqrt(tf.math.divide_no_nan(squares, steps) + VARIANCE_FLOOR)
        coefficients = tf.math.divide_no_nan(deviations, mean_ratios)
        known = tf.reduce_all((steps >= 2.0) | ~present)
        weights = shares_of(tf.where(known, coefficients, tf.ones_like(coefficients)), present)

        losses = above_zero(losses, present)
        ratios = tf.where(steps > 0.0, tf.math.divide_no_nan(losses, mean_losses), tf.ones_like(losses))
        count = steps + 1.0
        new_mean_ratios = mean_ratios + (ratios - mean_ratios) / count
        new_values = (
            count,
            mean_losses + (losses - mean_losses) / count,
            new_mean_ratios,
            squares + (ratios - mean_ratios) * (ratios - new_mean_ratios),
        )
        for variable, old, new in zip(states, (steps, mean_losses, mean_ratios, squares), new_values, strict=True):
            variable.assign(tf.where(present, new, old))
        return weights

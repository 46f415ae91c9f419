"""Losses of one batch, normalised over the global batch."""

from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.losses import TaskLosses, task_losses
from mtl_keras.training.step_plan import StepPlan

_ABOVE_ZERO = 1e-12  # what a loss of exactly 0 counts as, for methods that take its logarithm


@dataclass(frozen=True)
class Measured:
    """Losses of one batch.

    Attributes:
        found: Sums and counts on this replica.
        shares: This replica's share of each scaled global loss [K], differentiable; the shares of all replicas add up.
        losses: The scaled global losses [K], the same on every replica, constants; 0 where absent.
        counts: Global label counts (or label weights) [K], constants.
        present: Which tasks train: with a label in the global batch, a finite loss and, in training, not told to sit
            out, bool [K].
        scale: What the losses were multiplied by [K].
        by_loss, by_gradient: Which tasks sit out since their loss, or only their gradient, is not finite, bool [K]; see
            `finite.py`.
        overflowed: Which tasks have a finite loss, but not a finite gradient, whether they sit out or all do, bool [K].
    """

    found: TaskLosses
    shares: tf.Tensor
    losses: tf.Tensor
    counts: tf.Tensor
    present: tf.Tensor
    scale: tf.Tensor
    by_loss: tf.Tensor
    by_gradient: tf.Tensor
    overflowed: tf.Tensor

    @property
    def failed(self) -> tf.Tensor:
        """Which tasks sit out since their loss or their gradient is not finite, bool [K]."""
        return self.by_loss | self.by_gradient

    @property
    def nobody(self) -> tf.Tensor:
        """Whether all tasks that would train are not finite, bool."""
        return tf.reduce_any(self.by_loss | self.overflowed) & ~tf.reduce_any(self.present)

    def of_present(self, factors: tf.Tensor | None) -> tf.Tensor:
        """Factors [K], by default 1, of the tasks that train, and 0 of all others."""
        return tf.where(self.present, 1.0 if factors is None else factors, 0.0)

    def without(self, overflowed: tf.Tensor, may_skip: bool) -> "Measured":
        """The same, but tasks with these gradients sit out too.

        Args:
            overflowed: Whose gradient is not finite, bool [K], or one for all.
            may_skip: Whether the optimizer skips steps in which all gradients overflow: then no task is to blame.
        """
        overflowed &= self.present
        present = self.present & ~overflowed
        blamed = overflowed & tf.reduce_any(present) if may_skip else overflowed
        return replace(
            self,
            losses=tf.where(present, self.losses, 0.0),
            present=present,
            by_gradient=self.by_gradient | blamed,
            overflowed=self.overflowed | overflowed,
        )


def measure(plan: StepPlan, forward: dict[str, Any], y: Any, sample_weight: Any, training: bool) -> Measured:
    """Losses of a batch from the outputs of the forward pass, normalised over the global batch."""
    found = task_losses(plan.tasks, y, forward["output"], forward["loss_input"], sample_weight, training)
    sums, counts = replicas.total([tf.stop_gradient(found.sums), tf.stop_gradient(found.counts)])
    scale, present = plan.loss_scale, counts > 0.0
    if training:
        factors = plan.participation.factors(plan.names)
        scale *= factors
        present &= factors > 0.0
    losses = scale * tf.math.divide_no_nan(sums, counts)
    by_loss = present & ~tf.math.is_finite(losses)
    present &= ~by_loss
    losses = tf.where(present, losses, 0.0)
    if plan.weighting.positive_losses and training:
        text = f"Expected losses of at least 0 for weighting {plan.weighting.name!r}. Received: {plan.names}="
        do = ". Do choose losses that cannot be negative, or a weighting that takes no logarithm."
        check = assert_in_graph(tf.reduce_all(losses >= 0.0), text, losses, do)
        with tf.control_dependencies([] if check is None else [check]):
            losses = tf.where(present, tf.maximum(losses, _ABOVE_ZERO), 0.0)
    shares = tf.where(present, scale * tf.math.divide_no_nan(found.sums, counts), 0.0)
    nobody = tf.zeros_like(by_loss)
    return Measured(found, shares, losses, counts, present, scale, by_loss, nobody, nobody)

"""Losses for methods that take their logarithm or divide by them."""

import tensorflow as tf

# what a loss of 0 counts as; the training step, which refuses negative ones, takes the same
LOWEST = 1e-12


def above_zero(losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Losses [K] of at least 1e-12, and 1 for absent tasks: its logarithm adds nothing.

    Example:
        >>> above_zero(tf.constant([2.0, 0.0]), tf.constant([True, False])).numpy().tolist()
        [2.0, 1.0]
    """
    return tf.where(present, tf.maximum(losses, LOWEST), tf.ones_like(losses))

"""Weights that are at least 0 and sum to 1, over the tasks that are present.

A task that is absent from a batch keeps its part of the state; the present ones share out among themselves what they
held together. So the state always sums to 1, and the weights of a batch are those the method gives its tasks alone.
"""

import tensorflow as tf


def project_to_simplex(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The nearest point of the simplex over the present tasks, exactly, by sorting.

    Args:
        values: [K], any finite floats.
        present: Which entries take part, bool [K].

    Returns:
        [K] of the dtype of `values`: at least 0, sum 1; 0 where absent.

    Example:
        >>> project_to_simplex(tf.constant([1.0, 0.5, 7.0]), tf.constant([True, True, False])).numpy().tolist()
        [0.75, 0.25, 0.0]

    Source: Held, Wolfe, Crowder, Validation of Subgradient Optimization, Mathematical Programming 1974.
    """
    lowest = tf.constant(float("-inf"), values.dtype)
    # the answer does not change when all values move together; at a top of 0 the sums below stay exact
    masked = tf.where(present, values, lowest)
    masked = tf.where(present, masked - tf.reduce_max(masked), lowest)
    descending = tf.sort(masked, direction="DESCENDING")
    ranks = tf.range(1, tf.shape(values)[0] + 1)
    thresholds = (tf.cumsum(descending) - 1.0) / tf.cast(ranks, values.dtype)
    support = tf.reduce_sum(tf.cast(descending > thresholds, tf.int32))
    threshold = tf.gather(thresholds, tf.maximum(support - 1, 0))
    return tf.where(present, tf.maximum(masked - threshold, 0.0), tf.zeros_like(values))


def shares_of(weights: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The weights of the present tasks, scaled to sum 1; equal where all of them are 0. Shape [K], 0 where absent."""
    mask = tf.cast(present, weights.dtype)
    held = tf.reduce_sum(weights * mask)
    equal = tf.math.divide_no_nan(mask, tf.reduce_sum(mask))
    return tf.where(held > 0.0, tf.math.divide_no_nan(weights * mask, held), equal)


def with_shares(weights: tf.Tensor, shares: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The new state [K]: present tasks take `shares` of what they held together, absent ones keep theirs."""
    held = tf.reduce_sum(weights * tf.cast(present, weights.dtype))
    return tf.where(present, shares * held, weights)


def softmax_of(logits: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Softmax over the present tasks; 0 where absent, all 0 where none is present. Shape [K]."""
    lowest = tf.constant(float("-inf"), logits.dtype)
    shifted = logits - tf.reduce_max(tf.where(present, logits, lowest))
    powers = tf.where(present, tf.exp(tf.where(present, shifted, tf.zeros_like(logits))), tf.zeros_like(logits))
    return tf.math.divide_no_nan(powers, tf.reduce_sum(powers))

"""How losses and metrics read labels: shapes, class ids, and which labels exist."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message


def labels_like(labels: Any, values: tf.Tensor) -> tf.Tensor:
    """Labels as float32 at the shape of `values` [B, N]; labels [B] serve for N = 1.

    Raises:
        ValueError: The shapes do not fit; broadcasting would compare every label with every value.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == values.shape.rank - 1 and values.shape[-1] == 1:
        labels = tf.expand_dims(labels, -1)
    if not labels.shape.is_compatible_with(values.shape) or labels.shape.rank != values.shape.rank:
        raise ValueError(
            message(
                "one label per value",
                "give labels the shape of the output",
                labels_shape=tuple(labels.shape),
                output_shape=tuple(values.shape),
            )
        )
    return tf.cast(labels, tf.float32)


def class_ids(labels: Any, scores: tf.Tensor) -> tf.Tensor:
    """Class ids as int32 [B], from labels [B] or [B, 1] of any dtype, or from class probabilities [B, C].

    NaN becomes -1; of probabilities the likeliest class counts, and -1 stands where all of them are 0.

    Raises:
        ValueError: The labels are neither.
    """
    labels = tf.convert_to_tensor(labels)
    num_classes = scores.shape[-1]
    if are_probabilities(labels, num_classes, scores.shape.rank):
        exists = tf.reduce_sum(tf.cast(labels, tf.float32), axis=-1) > 0.0  # NaN is above nothing
        return tf.where(exists, tf.argmax(labels, axis=-1, output_type=tf.int32), -1)
    if labels.shape.rank == scores.shape.rank and labels.shape[-1] == 1:
        labels = tf.squeeze(labels, -1)
    if labels.shape.rank != scores.shape.rank - 1:
        raise ValueError(
            message(
                f"class ids of shape [B] or [B, 1], or class probabilities [B, {num_classes}]",
                "correct the labels",
                labels_shape=tuple(labels.shape),
                output_shape=tuple(scores.shape),
            )
        )
    if labels.dtype.is_floating:
        labels = tf.where(tf.math.is_nan(labels), tf.constant(-1, labels.dtype), labels)
    return tf.cast(labels, tf.int32)


def are_probabilities(labels: tf.Tensor, num_classes: int, rank: int) -> bool:
    """Whether labels have the shape of class probabilities [B, C] (as blended examples have), not of class ids."""
    return bool(labels.shape.rank == rank and labels.shape[-1] == num_classes)


def label_weights(exists: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """Float32 weights at the shape of `exists`: 0 where the label is missing, else `sample_weight` (default 1).

    Args:
        exists: Which labels exist, bool [B] or [B, N].
        sample_weight: `None`, or weights [B], [B, 1] or [B, N].
    """
    weights = tf.cast(exists, tf.float32)
    if sample_weight is None:
        return weights
    given = tf.cast(sample_weight, tf.float32)
    while given.shape.rank < exists.shape.rank:
        given = tf.expand_dims(given, -1)
    while given.shape.rank > exists.shape.rank:
        given = tf.squeeze(given, -1)
    return weights * given


class LabelMean(keras.metrics.Mean):
    """Base of metrics that are a mean over the labels that exist, as one sum and one weight in float32."""

    def add(self, values: tf.Tensor, exists: tf.Tensor, sample_weight: Any) -> None:
        """Take in one value per label."""
        weights = label_weights(exists, sample_weight)
        values = tf.where(weights != 0.0, tf.cast(values, tf.float32), 0.0)  # NaN times 0 would be NaN
        super().update_state(tf.reshape(values, [-1]), sample_weight=tf.reshape(weights, [-1]))

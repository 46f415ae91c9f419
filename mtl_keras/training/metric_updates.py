"""Updates of metrics; those of tasks that are measured alike are one, as forty would be forty times the operations."""

from collections.abc import Callable, Hashable
from math import prod
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients.groups import stacked
from mtl_keras.training.alike import LARGE

# Keras' means over examples, and the functions that these are means of
_MEANS: dict[type, Callable] = {
    keras.metrics.BinaryAccuracy: keras.metrics.binary_accuracy,
    keras.metrics.CategoricalAccuracy: keras.metrics.categorical_accuracy,
    keras.metrics.SparseCategoricalAccuracy: keras.metrics.sparse_categorical_accuracy,
    keras.metrics.MeanSquaredError: keras.metrics.mean_squared_error,
    keras.metrics.MeanAbsoluteError: keras.metrics.mean_absolute_error,
}

# a metric with labels, outputs and weights
Update = tuple[keras.metrics.Metric, tf.Tensor, tf.Tensor, tf.Tensor]


def update_all(updates: list[Update]) -> None:
    """Feed every metric labels, outputs and weights, as `metric.update_state(labels, outputs, sample_weight)` does."""
    alike: dict[Hashable, list[Update]] = {}
    for update in updates:
        alike.setdefault(_kind(*update), []).append(update)
    for members in alike.values():
        if len(members) > 1:
            _update_together(members)
        else:
            ((metric, labels, outputs, weights),) = members
            metric.update_state(labels, outputs, sample_weight=weights)


def _kind(metric: keras.metrics.Metric, *tensors: tf.Tensor) -> Hashable:
    """What updates are compared by, where there is one number for each example; else what is like no other."""
    labels, outputs, weights = tensors
    if type(metric) not in _MEANS or not labels.shape.rank or outputs.shape.rank != 2 or weights.shape.rank != 1:
        return object()
    sizes = [*labels.shape[1:], *outputs.shape[1:]]
    if None in sizes or prod(sizes) >= LARGE:
        return object()
    settings = sorted((key, str(value)) for key, value in metric.get_config().items() if key != "name")
    return type(metric), str(settings), *((tuple(tensor.shape), tensor.dtype) for tensor in tensors)


def _update_together(updates: list[Update]) -> None:
    metrics, *parts = zip(*updates, strict=True)
    labels, outputs, weights = (stacked(list(part)) for part in parts)
    config: dict[str, Any] = {k: v for k, v in metrics[0].get_config().items() if k not in ("name", "dtype")}
    dtype = metrics[0].dtype
    # one after the other, as if they were examples of one task
    in_a_row = [tf.reshape(tensor, [-1, *tensor.shape[2:]]) for tensor in (labels, outputs)]
    values = tf.cast(_MEANS[type(metrics[0])](*in_a_row, **config), dtype)
    values = tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
    weights = tf.cast(weights, dtype)
    totals = tf.unstack(tf.reduce_sum(tf.reshape(values, tf.shape(weights)) * weights, 1), num=len(metrics))
    counts = tf.unstack(tf.reduce_sum(weights, 1), num=len(metrics))
    for metric, total, count in zip(metrics, totals, counts, strict=True):
        metric.total.assign_add(total)
        metric.count.assign_add(count)

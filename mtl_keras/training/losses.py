"""Masked losses of all tasks, as sums and counts that add up over replicas and batches."""

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtl_keras.training import batch_checks, label_checks
from mtl_keras.training.task_plan import TaskPlan


@dataclass(frozen=True)
class TaskLosses:
    """The losses of K tasks on this replica's part of a batch.

    Attributes:
        sums: Weighted sums of the loss values of the labels that exist, float32 [K], differentiable.
        counts: What to divide by, float32 [K]: the number of labels that exist, or their summed weights.
        labels: `{task: labels}` with a harmless value where the label is missing.
        masks: `{task: float32, 1 where the label exists}`, one per loss value ([B], or [B, ...] per element).
        weights: `{task: float32}`, sample weights at the same shape, 0 where the label is missing.
    """

    sums: tf.Tensor
    counts: tf.Tensor
    labels: dict[str, tf.Tensor]
    masks: dict[str, tf.Tensor]
    weights: dict[str, tf.Tensor]


def task_losses(
    plans: list[TaskPlan],
    labels: dict[str, Any],
    outputs: dict[str, tf.Tensor],
    loss_inputs: dict[str, tf.Tensor],
    sample_weights: dict[str, Any],
    training: bool,
) -> TaskLosses:
    """Losses of every planned task over the labels that exist.

    A label is missing where it is NaN, where it equals the task's missing value, or where its sample weight is 0. It is
    replaced before the loss sees it: NaN times 0 would be NaN, and class id -1 an error on some devices.
    """
    read = [_read(plan, labels[plan.name], outputs[plan.name], sample_weights.get(plan.name)) for plan in plans]
    checked = batch_checks.assert_none_is_bad([check for labels_of_task in read for check in labels_of_task.checks])
    with tf.control_dependencies(checked):
        targets = [tf.identity(labels_of_task.target) for labels_of_task in read]
    values_of, weights_of, counted = [], [], []
    masks: dict[str, tf.Tensor] = {}
    weights: dict[str, tf.Tensor] = {}
    for plan, target, found in zip(plans, targets, read, strict=True):
        values = tf.cast(plan.loss_values(target, loss_inputs.get(plan.name, outputs[plan.name])), tf.float32)
        mask = tf.cast(_per_value(found.exists, values), tf.float32)
        weight = mask if found.weights is None else mask * _spread(found.weights, values)
        masks[plan.name], weights[plan.name] = mask, weight
        if training and plan.class_weight is not None:
            weight = weight * _spread(plan.class_weights(target), values)
        values_of.append(values)
        weights_of.append(weight)
        counted.append(weight if plan.divide_by_weights else mask)
    labels_of = dict(zip((plan.name for plan in plans), targets, strict=True))
    return TaskLosses(_sums(values_of, weights_of), _sums(counted), labels_of, masks, weights)


def _sums(values: list[tf.Tensor], weights: list[tf.Tensor] | None = None) -> tf.Tensor:
    """The sum of each task's values, times weights that hide values even where these are infinite, float32 [K].

    Where each task has one value for each example, all are summed together: many tasks would be many operations.
    """
    together = all(of_task.shape.rank == 1 for of_task in values)
    if together:
        values, weights = [tf.stack(values)], None if weights is None else [tf.stack(weights)]
    if weights is not None:
        values = [tf.math.multiply_no_nan(v, w) for v, w in zip(values, weights, strict=True)]
    return tf.reduce_sum(values[0], axis=1) if together else tf.stack([tf.reduce_sum(v) for v in values])


@dataclass(frozen=True)
class _Labels:
    """Labels of a task, harmless where one is missing, which exist, and their weights; what has yet to be checked."""

    target: tf.Tensor
    exists: tf.Tensor
    weights: tf.Tensor | None
    checks: list[batch_checks.Check]


def _read(plan: TaskPlan, labels: Any, output: tf.Tensor, sample_weight: Any) -> _Labels:
    labels = tf.convert_to_tensor(labels)
    label_checks.check_spec(plan, labels)
    target = _fit_rank(_numbers(labels), output)
    exists, weights, checks = _exists(target, plan.missing), None, []
    if sample_weight is not None:
        sample_weight = tf.convert_to_tensor(sample_weight)
        label_checks.check_weights_spec(plan.name, sample_weight, labels)
        weights = tf.cast(sample_weight, tf.float32)
        checks.append(batch_checks.weights_in_range(plan.name, weights))
        exists = tf.logical_and(exists, _spread(weights, target) != 0.0)
    target = tf.where(exists, target, tf.cast(plan.harmless, target.dtype))
    return _Labels(target, exists, weights, [*checks, *batch_checks.in_range(plan, target)])


def _numbers(labels: tf.Tensor) -> tf.Tensor:
    """Labels of which true and false are 1 and 0."""
    return tf.cast(labels, tf.uint8) if labels.dtype == tf.bool else labels


def _fit_rank(labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Give labels [B] the trailing 1 of an output [B, 1], as Keras' losses do."""
    if labels.shape.rank == output.shape.rank - 1 and output.shape[-1] == 1:
        return tf.expand_dims(labels, -1)
    return labels


def _exists(labels: tf.Tensor, missing: float) -> tf.Tensor:
    can_be_missing = labels.dtype.is_floating or labels.dtype.min <= missing <= labels.dtype.max  # uint8 holds no -1
    named = None if math.isnan(missing) or not can_be_missing else labels != tf.cast(missing, labels.dtype)
    if labels.dtype.is_floating:
        not_nan = ~tf.math.is_nan(labels)
        return not_nan if named is None else not_nan & named
    return tf.ones_like(labels, tf.bool) if named is None else named


def _per_value(exists: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """One flag per loss value: where a value covers several labels, all of them must exist."""
    if exists.shape.rank > values.shape.rank:
        axes = list(range(values.shape.rank, exists.shape.rank))
        one_each = all(exists.shape[axis] == 1 for axis in axes)
        exists = tf.squeeze(exists, axes) if one_each else tf.reduce_all(exists, axes)
    return exists if exists.shape.rank == values.shape.rank == 1 else tf.broadcast_to(exists, tf.shape(values))


def _spread(weights: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Weights [B], [B, 1] or per element at the shape of `like`; trailing axes that it lacks are averaged away."""
    while weights.shape.rank > like.shape.rank:
        weights = tf.reduce_mean(weights, axis=-1)
    while weights.shape.rank < like.shape.rank:
        weights = tf.expand_dims(weights, -1)
    return tf.broadcast_to(weights, tf.shape(like))

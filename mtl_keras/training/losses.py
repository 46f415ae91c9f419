"""Masked losses of all tasks, as sums and counts that add up over replicas and batches."""

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from mtl_keras.training import batch_checks
from mtl_keras.training.alike import Alike, taken_together
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
    together = taken_together(plans, labels, outputs, loss_inputs, sample_weights)
    read = [_read(tasks) for tasks in together]
    checked = batch_checks.assert_none_is_bad([check for labels_of_tasks in read for check in labels_of_tasks.checks])
    with tf.control_dependencies(checked):
        targets = [tf.identity(labels_of_tasks.target) for labels_of_tasks in read]
    values_of, weights_of, counted = [], [], []
    by_task: dict[str, dict[str, tf.Tensor]] = {"labels": {}, "masks": {}, "weights": {}}
    for tasks, target, found in zip(together, targets, read, strict=True):
        plan = tasks.plan
        values = tf.cast(plan.loss_values(target, tasks.loss_input), tf.float32)
        mask = tf.cast(_per_value(found.exists, values), tf.float32)
        weight = mask if tasks.weights is None else mask * _spread(tasks.weights, values)
        for what, tensor in (("labels", target), ("masks", mask), ("weights", weight)):
            by_task[what] |= tasks.by_task(tensor)
        if training and plan.class_weight is not None:
            weight = weight * _spread(plan.class_weights(target), values)
        values_of.append(values)
        weights_of.append(weight)
        counted.append(weight if plan.divide_by_weights else mask)
    order = [plan.name for tasks in together for plan in tasks.plans]
    places = [order.index(plan.name) for plan in plans]
    sizes = [len(tasks.plans) for tasks in together]
    sums, counts = _sums(sizes, values_of, weights_of), _sums(sizes, counted)
    if places != sorted(places):
        sums, counts = tf.gather(sums, places), tf.gather(counts, places)
    return TaskLosses(sums, counts, **by_task)


def _sums(sizes: list[int], values: list[tf.Tensor], weights: list[tf.Tensor] | None = None) -> tf.Tensor:
    """The sum of each task's values, times weights that hide values even where these are infinite, float32 [K].

    Where each task has one value for each example, all are summed together: many tasks would be many operations.

    Args:
        sizes: How many tasks' values are in each of the tensors.
        values, weights: Alike in shape, [size * B, ...].
    """

    def in_rows(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        rows = [tf.reshape(tensor, [size, -1]) for size, tensor in zip(sizes, tensors, strict=True)]
        return [tf.concat(rows, 0)] if all(tensor.shape.rank == 1 for tensor in tensors) else rows

    rows = in_rows(values)
    if weights is not None:
        rows = [tf.math.multiply_no_nan(v, w) for v, w in zip(rows, in_rows(weights), strict=True)]
    return tf.concat([tf.reduce_sum(of_tasks, axis=1) for of_tasks in rows], 0)


@dataclass(frozen=True)
class _Labels:
    """Labels of some tasks, harmless where one is missing, and which exist; what has yet to be checked."""

    target: tf.Tensor
    exists: tf.Tensor
    checks: list[batch_checks.Check]


def _read(tasks: Alike) -> _Labels:
    plan, target, checks = tasks.plan, tasks.labels, []
    exists = _exists(target, plan.missing)
    if tasks.weights is not None:
        checks.append(batch_checks.weights_in_range(tasks.plans, tasks.weights))
        exists = tf.logical_and(exists, _spread(tasks.weights, target) != 0.0)
    target = tf.where(exists, target, tf.cast(plan.harmless, target.dtype))
    return _Labels(target, exists, [*checks, *batch_checks.in_range(tasks.plans, target)])


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

"""Tasks that are read and compared alike, taken as one: forty heads would cost forty times as many operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.training import label_checks
from mtl_keras.training.known_losses import way_of
from mtl_keras.training.task_plan import TaskPlan

# from so many numbers of an example on, copying them costs more than operations
LARGE = 2**7

# Keras takes cross-entropies of what goes into these, as outputs of exactly 0 and 1 have no gradient; it knows them by
# the operation that made a tensor
_ACTIVATIONS = {"Softmax": keras.activations.softmax, "Sigmoid": keras.activations.sigmoid}


@dataclass(frozen=True)
class Alike:
    """Tasks whose labels are read and compared in the same way: their n batches one after the other.

    Attributes:
        plans: Of the tasks.
        labels: Numbers, [n * B, ...].
        loss_input: What the loss compares them with, [n * B, ...].
        weights: Sample weights [n * B, ...], or None.
    """

    plans: list[TaskPlan]
    labels: tf.Tensor
    loss_input: tf.Tensor
    weights: tf.Tensor | None

    @property
    def plan(self) -> TaskPlan:
        """How all of them are read and compared; of all but this, the others' plans may differ."""
        return self.plans[0]

    def by_task(self, tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        """A tensor [n * B, ...] by task, [B, ...]."""
        count = len(self.plans)
        if count == 1:
            return {self.plan.name: tensor}
        parts = tf.unstack(tf.reshape(tensor, [count, -1, *tensor.shape[1:]]), num=count)
        return {plan.name: part for plan, part in zip(self.plans, parts, strict=True)}


def taken_together(
    plans: list[TaskPlan],
    labels: Mapping[str, Any],
    outputs: Mapping[str, tf.Tensor],
    loss_inputs: Mapping[str, tf.Tensor],
    sample_weights: Mapping[str, Any],
) -> list[Alike]:
    """All tasks, each among those that it is like.

    Raises:
        ValueError: Labels or sample weights cannot be what they are given as.
    """
    found: list[tuple[Any, list[tuple]]] = []
    for plan in plans:
        name = plan.name
        member = _checked(plan, labels[name], outputs[name], loss_inputs.get(name), sample_weights.get(name))
        kind = _kind(*member)
        like = next((members for other, members in found if kind is not None and other == kind), None)
        if like is None:
            found.append((kind, [member]))
        else:
            like.append(member)
    return [_joined(*map(list, zip(*members, strict=True))) for _, members in found]


def _checked(plan: TaskPlan, labels: Any, output: tf.Tensor, loss_input: Any, weights: Any) -> tuple:
    labels = tf.convert_to_tensor(labels)
    label_checks.check_spec(plan, labels)
    if weights is not None:
        weights = tf.convert_to_tensor(weights)
        label_checks.check_weights_spec(plan.name, weights, labels)
        weights = tf.cast(weights, tf.float32)
    return plan, _fit_rank(_numbers(labels), output), output if loss_input is None else loss_input, weights


def _numbers(labels: tf.Tensor) -> tf.Tensor:
    """Labels of which true and false are 1 and 0."""
    return tf.cast(labels, tf.uint8) if labels.dtype == tf.bool else labels


def _fit_rank(labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Give labels [B] the trailing 1 of an output [B, 1], as Keras' losses do."""
    if labels.shape.rank == output.shape.rank - 1 and output.shape[-1] == 1:
        return tf.expand_dims(labels, -1)
    return labels


def _kind(plan: TaskPlan, *tensors: tf.Tensor | None) -> tuple | None:
    """What tasks are compared by; None for one that is like no other."""
    shapes = [None if tensor is None else tensor.shape[1:] for tensor in tensors]
    way = way_of(plan.plain_loss)
    if way is None or not all(s is None or (s.is_fully_defined() and prod(s) < LARGE) for s in shapes):
        return None
    if tf.executing_eagerly():  # tensors do not know then what made them
        return None
    # Keras marks what it took from an activation; here one of another axis or other operations, which stays its own
    if hasattr(tensors[1], "_keras_logits") and _activation(tensors[1]) is None:
        return None
    # texts, as NaN is not itself
    numbers = f"{plan.missing} {plan.label_range} {plan.class_ids} {plan.output_rank} {plan.class_weight}"
    dtypes = [None if tensor is None else tensor.dtype for tensor in tensors]
    return way, plan.target_way, numbers, plan.divide_by_weights, shapes, dtypes, _activation(tensors[1])


def _activation(loss_input: Any) -> str | None:
    """The operation that made a tensor, if it is one of `_ACTIVATIONS`."""
    operation = getattr(loss_input, "op", None)
    return operation.type if operation is not None and operation.type in _ACTIVATIONS else None


def _joined(plans: list[TaskPlan], labels: list, loss_inputs: list, weights: list) -> Alike:
    if len(plans) == 1:
        return Alike(plans, labels[0], loss_inputs[0], weights[0])
    return Alike(plans, _one(labels), _one_loss_input(loss_inputs), None if weights[0] is None else _one(weights))


def _one_loss_input(tensors: list[tf.Tensor]) -> tf.Tensor:
    activation = _activation(tensors[0])
    if activation is None:
        return _one(tensors)
    return _ACTIVATIONS[activation](_one([tensor.op.inputs[0] for tensor in tensors]))


def _one(tensors: list[tf.Tensor]) -> tf.Tensor:
    # stacked, as the gradient of a concatenation is an operation for each part
    return tf.reshape(tf.stack(tensors), [-1, *tensors[0].shape[1:]])

"""What labels and sample weights of a batch may be: assertions of the graph, in the words of `label_checks`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training import label_words as words
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.task_plan import TaskPlan

_Part = tuple[str, str, tf.Tensor]  # task, "labels" or "weights", and these


@dataclass(frozen=True)
class Check:
    """Values of a batch, which of them are bad, and what is said of them.

    Attributes:
        bad, values: Those of n tasks that are alike, one after the other.
        said: For each of these tasks what was expected, and what to do.
    """

    bad: tf.Tensor
    values: tf.Tensor
    said: list[tuple[str, str]]


def in_range(plans: Sequence[TaskPlan], labels: tf.Tensor) -> list[Check]:
    """That labels, harmless where one is missing, may be what they are; nothing where anything may."""
    plan = plans[0]
    if plan.label_range is None:
        return []
    low, high = plan.label_range
    dtype = labels.dtype  # of which uint8 holds no 299
    bad = (labels < tf.cast(max(low, dtype.min), dtype)) | (labels > tf.cast(min(high, dtype.max), dtype))
    if words.are_ids(plan, labels) and dtype.is_floating:
        bad |= labels != tf.floor(labels)
    return [Check(bad, labels, [(words.labels_in_range(plan, labels), words.correct_labels(plan)) for plan in plans])]


def weights_in_range(plans: Sequence[TaskPlan], weights: tf.Tensor) -> Check:
    """That sample weights are finite and at least 0."""
    bad = ~((weights >= 0.0) & (weights < float("inf")))
    return Check(bad, weights, [(words.finite_weights(plan.name), words.CORRECT_WEIGHTS) for plan in plans])


def assert_one_each(x: Any, labels: Mapping[str, Any], weights: Mapping[str, Any]) -> list[tf.Operation]:
    """That there are as many labels and sample weights as examples: TensorFlow would spread a single one over all.

    Raises:
        ValueError: It is known without looking at the batch that there are not.
    """
    like = keras.tree.flatten(x)[0]
    groups: dict[Any, list[_Part]] = {}
    for what, given in (("labels", labels), ("weights", weights)):
        for task, tensor in ((task, tf.convert_to_tensor(part)) for task, part in given.items()):
            if not tensor.shape.rank:  # said of it when it is read
                continue
            if not tensor.shape[:1].is_compatible_with(like.shape[:1]):
                expected = f"{like.shape[0]} {words.NAMES[what]} for task {task!r}, one per example"
                raise ValueError(message(expected, "check both", **{what: tensor.shape[0]}))
            if None in (tensor.shape[0], like.shape[0]):
                groups.setdefault((tensor.dtype, tensor.shape.rank), []).append((task, what, tensor))
    if not groups:
        return []
    # one operation for all of one kind, as steps with many tasks are many operations
    shapes = [(rank, tf.shape_n([tensor for *_, tensor in parts])) for (_, rank), parts in groups.items()]
    sizes, number = tf.concat([tf.concat(of, axis=0)[::rank] for rank, of in shapes], axis=0), tf.shape(like)[0]

    def assert_one(index: int, task: str, what: str) -> tf.Operation | None:
        size, name = sizes[index], words.NAMES[what]
        parts = [number, f" {name} for task {task!r}, one per example. Received: {what}=", size, ". Do check both."]
        return assert_in_graph(size == number, "Expected ", *parts)

    all_parts = enumerate(part for parts in groups.values() for part in parts)
    return _assert_all(sizes == number, [partial(assert_one, index, *part[:2]) for index, part in all_parts])


def assert_none_is_bad(checks: Sequence[Check]) -> list[tf.Operation]:
    """That no check found a bad value, in the words of `check_array`."""
    if not checks:
        return []
    fine = ~tf.concat([tf.reshape(check.bad, [-1]) for check in checks], axis=0)
    return _assert_all(fine, [partial(_assert_none, check, k) for check in checks for k in range(len(check.said))])


def _assert_all(fine: tf.Tensor, assertions: Sequence[Callable[[], Any]]) -> list[tf.Operation]:
    """One assertion for all of them: only where it fails it looks what to say."""

    def name_the_first() -> tf.Operation:
        said: list[tf.Operation] = []
        for make in assertions:
            with tf.control_dependencies(said):
                assertion = make()
            said = [] if assertion is None else [assertion]  # run eagerly, it has raised
        return tf.no_op()

    found = tf.cond(tf.reduce_all(fine), tf.no_op, name_the_first)
    return [] if found is None else [found]


def _assert_none(check: Check, task: int) -> tf.Operation | None:
    """XLA leaves the assertion out, but compiles this: no shape depends on values."""
    bad, values = (tf.reshape(tensor, [len(check.said), -1])[task] for tensor in (check.bad, check.values))
    count = tf.math.count_nonzero(bad)
    # one more at the end, so that there is a first bad one in any case
    flags = tf.concat([tf.cast(bad, tf.int32), [1]], axis=0)
    first = tf.concat([values, tf.zeros([1], values.dtype)], axis=0)[tf.argmax(flags)]
    expected, do = check.said[task]
    return assert_in_graph(
        count == 0, f"Expected {expected}. Received: value=", first, ", count=", count, f". Do {do}."
    )

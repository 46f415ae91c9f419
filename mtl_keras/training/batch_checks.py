"""What labels and sample weights of a batch may be: assertions of the graph, in the words of `label_checks`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training import label_words as words
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.task_plan import TaskPlan


@dataclass(frozen=True)
class Check:
    """Values of a batch, which of them are bad, and what is said of them."""

    bad: tf.Tensor
    values: tf.Tensor
    expected: str
    do: str


def in_range(plan: TaskPlan, labels: tf.Tensor) -> list[Check]:
    """That labels, harmless where one is missing, may be what they are; nothing where anything may."""
    if plan.label_range is None:
        return []
    low, high = plan.label_range
    dtype = labels.dtype  # of which uint8 holds no 299
    bad = (labels < tf.cast(max(low, dtype.min), dtype)) | (labels > tf.cast(min(high, dtype.max), dtype))
    if words.are_ids(plan, labels) and dtype.is_floating:
        bad |= labels != tf.floor(labels)
    return [Check(bad, labels, words.labels_in_range(plan, labels), words.correct_labels(plan))]


def weights_in_range(task: str, weights: tf.Tensor) -> Check:
    """That sample weights are finite and at least 0."""
    bad = ~((weights >= 0.0) & (weights < float("inf")))
    return Check(bad, weights, words.finite_weights(task), words.CORRECT_WEIGHTS)


def assert_one_each(given: Sequence[tuple[str, str, tf.Tensor]], like: tf.Tensor) -> list[tf.Operation]:
    """That there are as many labels and sample weights as examples: TensorFlow would spread a single one over all.

    Args:
        given: Task, `"labels"` or `"weights"`, and these themselves.
        like: An output of the batch.

    Raises:
        ValueError: It is known without looking at the batch that there are not.
    """
    for task, what, tensor in given:
        if not tensor.shape[:1].is_compatible_with(like.shape[:1]):
            raise ValueError(
                message(
                    f"{like.shape[0]} {words.NAMES[what]} for task {task!r}, one per example",
                    "check both",
                    **{what: tensor.shape[0]},
                )
            )
    unsure = [part for part in given if None in (part[2].shape[0], like.shape[0])]
    if not unsure:
        return []
    number, sizes = tf.shape(like)[0], tf.stack([tf.shape(tensor)[0] for _, _, tensor in unsure])

    def assert_one(index: int) -> tf.Operation | None:
        task, what, _ = unsure[index]
        expected = f" {words.NAMES[what]} for task {task!r}, one per example. Received: {what}="
        size = sizes[index]
        return assert_in_graph(size == number, "Expected ", number, expected, size, ". Do check both.")

    return _assert_all(sizes == number, assert_one)


def assert_none_is_bad(checks: Sequence[Check]) -> list[tf.Operation]:
    """That no check found a bad value, in the words of `check_array`."""
    if not checks:
        return []
    fine = ~tf.stack([tf.reduce_any(check.bad) for check in checks])
    return _assert_all(fine, lambda index: _assert_none(checks[index]))


def _assert_all(fine: tf.Tensor, assert_one: Callable[[int], tf.Operation | None]) -> list[tf.Operation]:
    """One assertion for all of them: only where it fails it looks what to say."""

    def name_the_first() -> tf.Operation:
        said: list[tf.Operation] = []
        for index in range(fine.shape[0]):
            with tf.control_dependencies(said):
                assertion = assert_one(index)
            said = [] if assertion is None else [assertion]  # run eagerly, it has raised
        return tf.no_op()

    found = tf.cond(tf.reduce_all(fine), tf.no_op, name_the_first)
    return [] if found is None else [found]


def _assert_none(check: Check) -> tf.Operation | None:
    """XLA leaves the assertion out, but compiles this: no shape depends on values."""
    count = tf.math.count_nonzero(check.bad)
    # one more at the end, so that there is a first bad one in any case
    flags = tf.concat([tf.cast(tf.reshape(check.bad, [-1]), tf.int32), [1]], axis=0)
    first = tf.concat([tf.reshape(check.values, [-1]), tf.zeros([1], check.values.dtype)], axis=0)[tf.argmax(flags)]
    expected = f"Expected {check.expected}. Received: value="
    return assert_in_graph(count == 0, expected, first, ", count=", count, f". Do {check.do}.")

"""What labels and sample weights may be: looked at in arrays before training, in batches by assertions of the graph."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.task_plan import TaskPlan

_NUMBERS = "give class ids in place of texts, as mtl.data.from_arrays does, and NaN where there is no label"
_CORRECT_WEIGHTS = "correct them; 0 leaves a label out"


def check_array(plan: TaskPlan, labels: Any, weights: Any, examples: int) -> None:
    """Check a task's labels and sample weights that are in memory.

    Args:
        plan: The task's.
        labels: As given to `fit`, anything at all.
        weights: Sample weights, or None.
        examples: How many there are to be.

    Raises:
        ValueError: They are no numbers, another number or of another shape than the loss can take, or out of range.
    """
    values = _numbers(plan.name, labels)
    if values.ndim == 0 or len(values) != examples:
        found = len(values) if values.ndim else "one for all"
        raise ValueError(
            message(f"{examples} labels for task {plan.name!r}, one per example", "check both", labels=found)
        )
    check_shape(plan, values.shape)
    if weights is not None:
        weights = _checked_weights(plan.name, weights, values)
    if plan.label_range is None:
        return
    low, high = plan.label_range
    bad = (values < low) | (values > high)  # NaN is neither
    if _are_ids(plan, values) and values.dtype.kind == "f":
        bad |= (values != np.floor(values)) & ~np.isnan(values)
    bad &= values != plan.missing
    _refuse(_labels(plan, values), values[bad if weights is None else bad & (weights != 0)], _correct(plan))


def check_shape(plan: TaskPlan, shape: Any) -> None:
    """Refuse labels that the loss would silently compare with the wrong outputs.

    Args:
        plan: The task's.
        shape: Of the labels, with the axis of the examples; a TensorShape or a tuple.
    """
    found = tf.TensorShape(shape)
    if plan.label_shapes is None or found.rank is None:
        return
    if not any(found[1:].is_compatible_with(allowed) for allowed in plan.label_shapes):
        raise ValueError(
            message(
                f"labels of task {plan.name!r} of shape {' or '.join(map(str, plan.label_shapes))} for each example, "
                "as its loss compares them with the output",
                "reshape them, or change the loss or the output",
                shape=tuple(found),
            )
        )


def check_spec(plan: TaskPlan, spec: Any) -> None:
    """Check labels of a dataset by what it says of its elements."""
    dtype = getattr(spec, "dtype", None)
    if dtype is None or not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        received = getattr(dtype, "name", type(spec).__name__)
        raise ValueError(message(f"numbers as labels of task {plan.name!r}", _NUMBERS, dtype=received))
    check_shape(plan, spec.shape)


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
    if _are_ids(plan, labels) and dtype.is_floating:
        bad |= labels != tf.floor(labels)
    return [Check(bad, labels, _labels(plan, labels), _correct(plan))]


def weights_in_range(task: str, weights: tf.Tensor) -> Check:
    """That sample weights are finite and at least 0."""
    bad = ~((weights >= 0.0) & (weights < float("inf")))
    return Check(bad, weights, _weights(task), _CORRECT_WEIGHTS)


def assert_none_is_bad(checks: list[Check]) -> list[tf.Operation]:
    """One assertion for all of them, in the words of `check_array`: only where it fails it looks what to say."""
    if not checks:
        return []
    some = tf.reduce_any(tf.stack([tf.reduce_any(check.bad) for check in checks]))

    def name_the_first() -> tf.Operation:
        said: list[tf.Operation] = []
        for check in checks:
            with tf.control_dependencies(said):
                assertion = _assert_none(check)
            said = [] if assertion is None else [assertion]  # run eagerly, it has raised
        return tf.no_op()

    found = tf.cond(some, name_the_first, tf.no_op)
    return [] if found is None else [found]


# -- in words ----------------------------------------------------------------------------------------------------------


def _labels(plan: TaskPlan, labels: Any) -> str:
    assert plan.label_range is not None
    low, high = plan.label_range
    which = "that are whole numbers from" if _are_ids(plan, labels) else "from"
    missing = "NaN" if math.isnan(plan.missing) else f"{plan.missing:g}"
    return f"labels of task {plan.name!r} {which} {low:g} to {high:g}, or {missing} where missing"


def _correct(plan: TaskPlan) -> str:
    if plan.class_ids:
        return "correct the labels, or give the head more classes"
    return "correct the labels" + (": 1 is yes and 0 is no" if plan.label_range == (0.0, 1.0) else "")


def _weights(task: str) -> str:
    return f"finite sample weights of at least 0 for task {task!r}"


def _are_ids(plan: TaskPlan, labels: Any) -> bool:
    return plan.class_ids and not plan.are_probabilities(labels)


# -- arrays ------------------------------------------------------------------------------------------------------------


def _numbers(task: str, labels: Any) -> np.ndarray:
    values = np.asarray(labels)
    if values.dtype.name == "bfloat16":
        return values.astype("float32")
    if values.dtype.kind not in "iufb":
        strange = [value for value in values.ravel().tolist() if not isinstance(value, (int, float))]
        received = {"value": strange[0], "count": len(strange)} if strange else {"dtype": values.dtype.name}
        raise ValueError(message(f"numbers as labels of task {task!r}", _NUMBERS, **received))
    return values


def _checked_weights(task: str, weights: Any, labels: np.ndarray) -> np.ndarray:
    """The weights with as many axes as the labels have."""
    given = np.asarray(weights)
    if given.dtype.kind not in "iufb":
        raise ValueError(message(_weights(task), _CORRECT_WEIGHTS, dtype=given.dtype.name))
    if given.ndim == 0 or len(given) != len(labels):
        found = len(given) if given.ndim else "one for all"
        raise ValueError(
            message(f"{len(labels)} sample weights for task {task!r}, one per example", "check both", weights=found)
        )
    _refuse(_weights(task), given[~(np.isfinite(given) & (given >= 0))], _CORRECT_WEIGHTS)
    shape = given.shape[: labels.ndim] + (1,) * (labels.ndim - given.ndim)
    if given.size != math.prod(shape) or any(n not in (1, of) for n, of in zip(shape, labels.shape, strict=True)):
        raise ValueError(
            message(
                f"one sample weight for each example or label of task {task!r}",
                "correct the shape",
                weights_shape=given.shape,
                labels_shape=labels.shape,
            )
        )
    return given.reshape(shape)


def _refuse(expected: str, bad: np.ndarray, do: str) -> None:
    if bad.size:
        raise ValueError(message(expected, do, value=_short(bad.flat[0].item()), count=int(bad.size)))


def _short(value: float) -> float:
    """As TensorFlow writes it in an assertion."""
    return int(value) if float(value).is_integer() else value


# -- batches -----------------------------------------------------------------------------------------------------------


def _assert_none(check: Check) -> tf.Operation | None:
    """XLA leaves the assertion out, but compiles this: no shape depends on values."""
    count = tf.math.count_nonzero(check.bad)
    # one more at the end, so that there is a first bad one in any case
    flags = tf.concat([tf.cast(tf.reshape(check.bad, [-1]), tf.int32), [1]], axis=0)
    first = tf.concat([tf.reshape(check.values, [-1]), tf.zeros([1], check.values.dtype)], axis=0)[tf.argmax(flags)]
    expected = f"Expected {check.expected}. Received: value="
    return assert_in_graph(count == 0, expected, first, ", count=", count, f". Do {check.do}.")

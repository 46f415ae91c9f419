"""What labels and sample weights may be, looked at before training: in arrays, and in what datasets say of theirs."""

from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training import label_words as words
from mtl_keras.training.task_plan import TaskPlan

_NUMBERS = "give class ids in place of texts, as mtl.data.from_arrays does, and NaN where there is no label"


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
    if words.are_ids(plan, values) and values.dtype.kind == "f":
        bad |= (values != np.floor(values)) & ~np.isnan(values)
    bad &= values != plan.missing
    _refuse(
        words.labels_in_range(plan, values),
        values[bad if weights is None else bad & (weights != 0)],
        words.correct_labels(plan),
    )


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
    _check_rank("labels", plan.name, spec.shape)
    if spec.shape.rank == 0:
        raise ValueError(
            message(
                f"batches, with an axis of examples in the labels of task {plan.name!r}",
                "add .batch(32) to the dataset",
                shape=(),
            )
        )
    check_shape(plan, spec.shape)


def check_weights_spec(task: str, weights: Any, labels: Any) -> None:
    """Check sample weights of a dataset, beside checked labels, by what it says of its elements."""
    dtype = getattr(weights, "dtype", None)
    if dtype is None or not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        received = getattr(dtype, "name", type(weights).__name__)
        raise ValueError(message(words.finite_weights(task), words.CORRECT_WEIGHTS, dtype=received))
    _check_rank("sample weights", task, weights.shape)
    _check_weights_shape(task, weights.shape, labels.shape)


def _check_rank(what: str, task: str, shape: tf.TensorShape) -> None:
    """Of an unknown number of axes are the elements of some datasets, and arrays of which Keras has seen several."""
    if shape.rank is None:
        raise ValueError(
            message(
                f"{what} of task {task!r} whose number of axes is known",
                "set it with tf.ensure_shape in the dataset's map, or call compile again before data of another form",
                shape=None,
            )
        )


def _check_weights_shape(task: str, weights: Any, labels: Any) -> None:
    given, of = tf.TensorShape(weights), tf.TensorShape(labels)
    one_each = given.rank > 0 and given[:1].is_compatible_with(of[:1])
    per_label = zip(given[1:], of[1:], strict=False)
    beyond = given[of.rank :]
    if not one_each or not all(n in (None, 1, m) or m is None for n, m in per_label) or not set(beyond) <= {None, 1}:
        raise ValueError(
            message(
                f"one sample weight for each example or label of task {task!r}",
                "correct the shape",
                weights_shape=tuple(given),
                labels_shape=tuple(of),
            )
        )


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
        raise ValueError(message(words.finite_weights(task), words.CORRECT_WEIGHTS, dtype=given.dtype.name))
    if given.ndim == 0 or len(given) != len(labels):
        found = len(given) if given.ndim else "one for all"
        raise ValueError(
            message(f"{len(labels)} sample weights for task {task!r}, one per example", "check both", weights=found)
        )
    _refuse(words.finite_weights(task), given[~(np.isfinite(given) & (given >= 0))], words.CORRECT_WEIGHTS)
    _check_weights_shape(task, given.shape, labels.shape)
    return given.reshape(given.shape[: labels.ndim] + (1,) * (labels.ndim - given.ndim))


def _refuse(expected: str, bad: np.ndarray, do: str) -> None:
    if bad.size:
        raise ValueError(message(expected, do, value=_short(bad.flat[0].item()), count=int(bad.size)))


def _short(value: float) -> float:
    """As TensorFlow writes it in an assertion."""
    return int(value) if float(value).is_integer() else value

"""What a batch must look like, checked before training where that is possible and by name always."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training import label_checks
from mtl_keras.training.task_plan import TaskPlan


def labels_by_task(y: Any, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> dict[str, Any]:
    """The labels of a batch by task name; those of outputs that are not trained are left out.

    Raises:
        ValueError: `y` is not a dict (a bare array serves for a single task), or its keys are not the trained tasks.
    """
    names = [plan.name for plan in plans]
    if y is not None and not isinstance(y, Mapping):
        if len(names) == 1 and not isinstance(y, (list, tuple)):
            return {names[0]: y}
        raise ValueError(
            message("labels as a dict by task name", f"pass y={{...}} with the keys {names}", y=type(y).__name__)
        )
    found = [] if y is None else list(y)
    for name in found:
        if name not in names and name not in untrained:
            raise ValueError(
                message(f"label keys among the trained tasks {names}", "correct the key, or drop it", key=name)
            )
    for name in names:
        if name not in found:
            raise ValueError(
                message(
                    f"labels of every trained task {names}",
                    f"add {name!r}; labels that are missing are NaN, the task's missing value or weight 0 "
                    "(mtl.data.complete fills them in), and compile(loss={...: None}) leaves a task out",
                    keys=found,
                )
            )
    return {name: y[name] for name in names} if y is not None else {}


def weights_by_task(sample_weight: Any, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> dict[str, Any]:
    """The sample weights by task name: a dict (tasks that it does not name weigh 1), or one array for all tasks."""
    names = [plan.name for plan in plans]
    if sample_weight is None:
        return {}
    if isinstance(sample_weight, Mapping):
        for name in sample_weight:
            if name not in names and name not in untrained:
                raise ValueError(
                    message(f"sample weight keys among the trained tasks {names}", "correct the key", key=name)
                )
        return {name: sample_weight[name] for name in names if sample_weight.get(name) is not None}
    if isinstance(sample_weight, (list, tuple)):
        raise ValueError(
            message(
                "sample weights as a dict by task name, or one array",
                f"use the keys {names}",
                sample_weight=type(sample_weight).__name__,
            )
        )
    return dict.fromkeys(names, sample_weight)


def for_keras(y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Labels and weights in memory as Keras wants them: lists as arrays, one weight array for every key of the labels.

    Tasks that the weights do not name weigh 1. Whatever else is given stays as it is.
    """
    if not isinstance(y, Mapping):
        return y, sample_weight
    y = {name: np.asarray(labels) if isinstance(labels, (list, tuple)) else labels for name, labels in y.items()}
    if isinstance(sample_weight, Mapping):
        given = {name: np.asarray(w) for name, w in sample_weight.items() if w is not None}
        ones = {name: np.ones(len(labels), "float32") for name, labels in y.items() if name not in given}
        sample_weight = {name: given[name] if name in given else ones[name] for name in y}
    return y, sample_weight


def check_arrays(x: Any, y: Any, sample_weight: Any, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> None:
    """Check data that is in memory: not empty, of equal lengths, images finite, labels and weights as they may be."""
    labels, weights = labels_by_task(y, plans, untrained), weights_by_task(sample_weight, plans, untrained)
    flat = [np.asarray(part) for part in keras.tree.flatten(x)]
    if any(part.ndim == 0 for part in flat):
        raise ValueError(message("inputs as arrays", "convert them with numpy.asarray", x=type(x).__name__))
    check_not_empty(x)
    length = len(flat[0])
    if any(len(part) != length for part in flat):
        lengths = [len(part) for part in flat]
        raise ValueError(message("as many examples in every input", "check the arrays", examples=lengths))
    for part in flat:
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            bad = np.flatnonzero(~np.isfinite(part.reshape(length, -1)).all(axis=1))
            raise ValueError(
                message("finite inputs", "correct or drop the example", first_bad_example=int(bad[0]), count=len(bad))
            )
    for plan in plans:
        label_checks.check_array(plan, labels[plan.name], weights.get(plan.name), length)


def check_not_empty(x: Any) -> None:
    """Refuse arrays without an example, and datasets that are known to have no batch."""
    if isinstance(x, tf.data.Dataset):
        if int(x.cardinality()) == 0:
            raise _no_batch("dataset")
    elif any(getattr(part, "shape", None) and part.shape[0] == 0 for part in keras.tree.flatten(x)):
        raise ValueError(message("at least one example", "check the file or filter behind the data", examples=0))


def check_dataset(dataset: tf.data.Dataset, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> None:
    """Check a dataset by its length and element spec: not empty, (x, y[, sample_weight]), labels by name, numbers."""
    check_not_empty(dataset)
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or not 2 <= len(spec) <= 3:
        raise ValueError(
            message("a dataset of (x, y) or (x, y, sample_weight)", "map it to tuples", element=type(spec).__name__)
        )
    labels = labels_by_task(spec[1], plans, untrained)
    for plan in plans:
        label_checks.check_spec(plan, labels[plan.name])
    weights = weights_by_task(spec[2], plans, untrained) if len(spec) == 3 else {}
    for name, of_task in weights.items():
        label_checks.check_weights_spec(name, of_task, labels[name])


def checked_batch(batch: Any, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> tuple:
    """A batch of arrays as Keras wants it, its labels and sample weights checked as `check_arrays` does."""
    if not isinstance(batch, tuple) or not 2 <= len(batch) <= 3:
        raise ValueError(
            message("batches (x, y) or (x, y, sample_weight)", "make each a tuple", batch=type(batch).__name__)
        )
    x, y, sample_weight = [*batch, None][:3]
    labels, weights = labels_by_task(y, plans, untrained), weights_by_task(sample_weight, plans, untrained)
    length = len(keras.tree.flatten(x)[0])
    for plan in plans:
        label_checks.check_array(plan, labels[plan.name], weights.get(plan.name), length)
    y, sample_weight = for_keras(y, sample_weight)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def checked_batches(
    batches: Generator, plans: list[TaskPlan], untrained: Sequence[str] = ()
) -> tuple[tuple, Generator]:
    """The first batch of a Python generator, checked, and all of them, the others checked when their turn comes."""

    def all_of_them() -> Generator:
        yield first
        for batch in batches:
            yield checked_batch(batch, plans, untrained)

    for batch in batches:
        first = checked_batch(batch, plans, untrained)
        return first, all_of_them()
    raise _no_batch("generator")


def first_batch(batches: keras.utils.PyDataset, plans: list[TaskPlan], untrained: Sequence[str] = ()) -> tuple:
    """The first batch of a Keras dataset, checked."""
    if batches.num_batches == 0:
        raise _no_batch("dataset")
    return checked_batch(batches[0], plans, untrained)


def _no_batch(of: str) -> ValueError:
    return ValueError(message("at least one batch", f"check what the {of} is made from", batches=0))

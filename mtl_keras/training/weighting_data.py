"""Batches of other examples beside the training batches, for methods that measure their weights on these."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.gradients import replicas
from mtl_keras.training import data_checks
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.task_plan import TaskPlan
from mtl_keras.weightings import Weighting

TRAIN, OTHER = "train", "other"


def beside_training(
    arguments: dict[str, Any], weighting_data: Any, weighting: Weighting, plans: list[TaskPlan], untrained: list[str]
) -> dict[str, Any]:
    """The arguments of `fit` with training data whose elements hold a batch of other examples too.

    Args:
        arguments: Of `fit`, checked.
        weighting_data: `(x, y[, sample_weight])` or a dataset of batches; None for methods that want none.
        weighting, plans, untrained: The method, the trained tasks and the names of the other outputs.

    Raises:
        ValueError: The method needs such data and there are none, or the other way around; or they do not fit.
    """
    check_wanted(weighting, weighting_data)
    if weighting_data is None:
        return arguments
    x, batch_size = arguments["x"], arguments["batch_size"]
    if arguments["validation_split"]:
        raise ValueError(
            message(
                "validation examples given apart from the training data, beside weighting_data",
                "split the arrays and pass validation_data",
                validation_split=arguments["validation_split"],
            )
        )
    if isinstance(x, tf.data.Dataset):
        train = x
    elif arguments["y"] is not None:
        train = _batches((x, arguments["y"], arguments["sample_weight"]), arguments["shuffle"], batch_size)
    else:
        raise ValueError(
            message(
                "training data as arrays or as a tf.data.Dataset, beside weighting_data",
                "pass a dataset, e.g. of tf.data.Dataset.from_generator",
                x=type(x).__name__,
            )
        )
    other = _other_examples(weighting_data, plans, untrained, batch_size)
    given = {"y": None, "sample_weight": None, "batch_size": None, "shuffle": False}
    return {**arguments, **given, "x": _in_pairs(train, other)}


def check_wanted(weighting: Weighting, weighting_data: Any) -> None:
    """Refuse a method without the data that it needs, and data that no method reads."""
    if weighting.validation_batches and weighting_data is None:
        raise ValueError(
            message(
                f"weighting_data, examples on which weighting {weighting.name!r} measures its weights",
                "pass fit(..., weighting_data=(x, y)) or a batched tf.data.Dataset, best of examples not trained on",
                weighting_data=weighting_data,
            )
        )
    if weighting_data is not None and not weighting.validation_batches:
        raise ValueError(
            message(
                f"no weighting_data with weighting {weighting.name!r}, which measures nothing on them",
                "leave it out, or choose weighting='auto_lambda'; validation_data is what fit evaluates on",
                weighting_data=type(weighting_data).__name__,
            )
        )


def in_two(data: Any, weighting: Weighting) -> tuple[Any, Any]:
    """The training batch and the batch of other examples of one element; None for the other where there is none."""
    if not weighting.validation_batches:
        return data, None
    if not isinstance(data, Mapping) or set(data) != {TRAIN, OTHER}:
        check_wanted(weighting, None)
    return data[TRAIN], data[OTHER]


def _in_pairs(train: tf.data.Dataset, other: tf.data.Dataset) -> tf.data.Dataset:
    """Elements `{"train": batch, "other": batch}`, as many as training batches; the other examples begin again.

    On several devices both batches of a pair are of one size, since they are dealt out together.
    """
    several = replicas.count() > 1

    def pair(batch: Any, others: Any) -> dict[str, Any]:
        if several:
            size, available = (tf.shape(keras.tree.flatten(part)[0])[0] for part in (batch, others))
            text = "Expected batches of weighting_data at least as large as those of the training data. Received: size="
            do = ". Do batch both alike, with .repeat() before .batch() for the weighting data."
            parts = [text, tf.strings.as_string(available), ", training=", tf.strings.as_string(size), do]
            check = assert_in_graph(available >= size, *parts)
            with tf.control_dependencies([] if check is None else [check]):
                others = keras.tree.map_structure(lambda tensor: tensor[:size], others)
        return {TRAIN: batch, OTHER: others}

    return tf.data.Dataset.zip((train, other.repeat())).map(pair, num_parallel_calls=tf.data.AUTOTUNE)


def _other_examples(
    weighting_data: Any, plans: list[TaskPlan], untrained: list[str], batch_size: int | None
) -> tf.data.Dataset:
    """`weighting_data` as checked batches."""
    if isinstance(weighting_data, tf.data.Dataset):
        data_checks.check_dataset(weighting_data, plans, untrained)
        return weighting_data
    if not isinstance(weighting_data, (tuple, list)) or not 2 <= len(weighting_data) <= 3:
        raise ValueError(
            message(
                "weighting_data as (x, y), (x, y, sample_weight) or a batched tf.data.Dataset of these",
                "pass one of them",
                weighting_data=type(weighting_data).__name__,
            )
        )
    x, y, sample_weight = [*weighting_data, None][:3]
    data_checks.check_arrays(x, y, sample_weight, plans, untrained)
    # without end, so that every batch is full
    return _batches((x, *data_checks.for_keras(y, sample_weight)), shuffle=True, batch_size=batch_size, repeat=True)


def _batches(parts: tuple, shuffle: bool, batch_size: int | None, repeat: bool = False) -> tf.data.Dataset:
    """Arrays as the batches that Keras would make of them."""
    x = tuple(parts[0]) if isinstance(parts[0], list) else parts[0]  # tf.data takes a list for one array
    examples = tf.data.Dataset.from_tensor_slices(tuple(part for part in (x, *parts[1:]) if part is not None))
    if shuffle:
        examples = examples.shuffle(len(examples))
    if repeat:
        examples = examples.repeat()
    return examples.batch(batch_size or 32).prefetch(tf.data.AUTOTUNE)

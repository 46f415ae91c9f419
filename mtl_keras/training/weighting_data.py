"""Batches of other examples beside the training batches, for methods that measure their weights on these."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training import data_checks
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.task_plan import TaskPlan
from mtl_keras.weightings import Weighting

TRAIN, OTHER = "train", "other"


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


def beside(train: tf.data.Dataset, other: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Elements `{"train": batch, "other": batch}`, as many as training batches; the other examples begin again.

    On several devices both batches of a pair are of one size, since they are dealt out together.
    """
    pairs = tf.data.Dataset.zip(train, other.repeat())

    def cut(batch: Any, others: Any) -> dict[str, Any]:
        if replicas > 1:
            size, available = (tf.shape(keras.tree.flatten(b)[0])[0] for b in (batch, others))
            text = "Expected batches of weighting_data as large as those of the training data. Received: size="
            do = ". Do batch both alike, with .repeat() before .batch() for the weighting data."
            check = assert_in_graph(available >= size, text, available, ", training=", size, do)
            with tf.control_dependencies([] if check is None else [check]):
                others = keras.tree.map_structure(lambda tensor: tensor[:size], others)
        return {TRAIN: batch, OTHER: others}

    return pairs.map(cut, num_parallel_calls=tf.data.AUTOTUNE)


def as_dataset(x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool | None) -> tf.data.Dataset:
    """Arrays as the batches that `fit` would make of them; a dataset as it is."""
    if isinstance(x, tf.data.Dataset):
        return x
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    examples = tf.data.Dataset.from_tensor_slices(parts)
    if shuffle is None or shuffle:
        examples = examples.shuffle(len(examples))
    return examples.batch(batch_size or 32).prefetch(tf.data.AUTOTUNE)


def other_examples(
    weighting_data: Any, plans: list[TaskPlan], untrained: list[str], batch_size: int | None
) -> tf.data.Dataset:
    """`weighting_data` as checked batches: a dataset of batches, or `(x, y[, sample_weight])` arrays."""
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
    parts = (x, y) if sample_weight is None else (x, y, sample_weight)
    examples = tf.data.Dataset.from_tensor_slices(parts)
    # repeated before batching, so that every batch is full
    return examples.shuffle(len(examples)).repeat().batch(batch_size or 32).prefetch(tf.data.AUTOTUNE)


def halves(data: Any, weighting: Weighting) -> tuple[Any, Any]:
    """The training batch and the batch of other examples of one element (None where there is none)."""
    if not weighting.validation_batches:
        return data, None
    if not isinstance(data, Mapping) or set(data) != {TRAIN, OTHER}:
        check_wanted(weighting, None)
    return data[TRAIN], data[OTHER]

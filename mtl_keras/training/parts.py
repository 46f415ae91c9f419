"""A batch in parts, and which of its examples count."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.training.step_plan import StepPlan

Batch = tuple[Any, dict[str, Any], dict[str, Any]]  # inputs, labels and sample weights by task


def counted(plan: StepPlan, x: Any, sample_weight: dict[str, Any], real: Any) -> tuple[tf.Tensor, dict[str, Any]]:
    """How many examples count, and sample weights that leave out those that do not.

    Args:
        plan: For the tasks' names.
        x, sample_weight: Inputs and sample weights.
        real: Whether they count, bool scalar; None where they do.
    """
    examples = tf.cast(tf.shape(keras.tree.flatten(x)[0])[0], tf.float32)
    if real is None:
        return examples, sample_weight
    counts = tf.cast(real, tf.float32)
    everything = tf.fill([tf.cast(examples, tf.int32)], counts)
    kept = {name: counts * tf.cast(weight, tf.float32) for name, weight in sample_weight.items()}
    return counts * examples, {name: kept.get(name, everything) for name in plan.names}


def part_of(plan: StepPlan, batch: Batch, index: int, number: int) -> tuple[Batch, tf.Tensor]:
    """One of several parts of a batch, as even as they can be, and how many of its examples count.

    A part for which there is no example has one that does not count, as layers fail on empty batches.
    """
    x, y, sample_weight = batch
    first = keras.tree.flatten(x)[0]
    size = first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]
    begin, end = size * index // number, size * (index + 1) // number
    real = None
    if not isinstance(size, int) or size < number:
        real = end > begin
        begin = tf.where(real, begin, tf.minimum(begin, size - 1))
        end = tf.maximum(end, begin + 1)
    x, y, sample_weight = keras.tree.map_structure(lambda t: t[begin:end], (x, y, sample_weight))
    examples, sample_weight = counted(plan, x, sample_weight, real)
    return (x, y, sample_weight), examples

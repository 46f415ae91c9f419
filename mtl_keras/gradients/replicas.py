"""Sums over replicas, and updates of variables from inside a replica: the only place that knows of them.

Every function is the identity, at no cost, where there is one replica.
"""

from typing import Any

import keras
import tensorflow as tf


def count() -> int:
    """How many replicas train in step."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_optimizer(optimizer: Any) -> Any:
    """An optimizer that belongs to the strategy in scope: one made outside of it is made anew while it has no state."""
    is_new = isinstance(optimizer, keras.optimizers.Optimizer) and not optimizer.built
    if is_new and tf.distribute.has_strategy():
        return type(optimizer).from_config(optimizer.get_config())
    return optimizer


def total(tensors: Any) -> Any:
    """Sum each tensor of a nest over all replicas; every replica gets the same sums."""
    if count() == 1:
        return tensors
    context = tf.distribute.get_replica_context()
    flat = tf.nest.flatten(tensors)
    return tf.nest.pack_sequence_as(tensors, context.all_reduce(tf.distribute.ReduceOp.SUM, flat))


def portion(examples: tf.Tensor) -> tf.Tensor:
    """The part of the global batch that this replica has, given how many examples it has; all portions add up to 1."""
    if count() == 1:
        return tf.ones([])
    examples = tf.cast(examples, tf.float32)
    return tf.math.divide_no_nan(examples, total(examples))


def assign(variables: list[keras.Variable], values: list[tf.Tensor]) -> None:
    """Give variables new values, the same on every replica; a plain assignment is refused inside one."""
    if not variables:
        return
    if count() == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return

    def update(strategy: Any, *new: Any) -> None:
        for variable, value in zip(variables, new, strict=True):
            strategy.extended.update(variable.value, lambda v, x: v.assign(x), args=(value,))

    tf.distribute.get_replica_context().merge_call(update, args=tuple(values))

"""A step whose gradients overflow in float16 is skipped by the loss scale; a method's memory does not move either."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.weightings import Weighting


class Overflow:
    """The memory of a method as it is before a step; make it before the method is asked.

    Args:
        optimizer: The model's; only one that scales the loss skips steps.
        weighting: The method.
    """

    def __init__(self, optimizer: Any, weighting: Weighting):
        self._skips = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._memory = weighting.non_trainable_variables if self._skips else []
        self._before = [tf.identity(variable.value) for variable in self._memory]

    def undo(self, gradients: Sequence[Any], weights: tf.Tensor) -> tf.Tensor:
        """Put the memory back if a gradient is not finite. Returns the applied weights, 0 for a skipped step."""
        if not self._skips or not gradients:
            return weights
        finite = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(gradient))) for gradient in gradients]
        bad = replicas.total(tf.cast(tf.logical_not(tf.reduce_all(tf.stack(finite))), tf.float32))
        after = [tf.convert_to_tensor(variable.value) for variable in self._memory]
        replicas.assign(
            list(self._memory), [tf.where(bad > 0.0, old, new) for old, new in zip(self._before, after, strict=True)]
        )
        return tf.where(bad > 0.0, tf.zeros_like(weights), weights)

"""A step whose gradients overflow in float16 is skipped by the loss scale; a method's memory does not move either."""

from typing import Any

import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.training.finite import skips_whole_steps
from mtl_keras.weightings import Weighting


class Overflow:
    """The memory of a method as it is before a step; make it before the method is asked.

    Args:
        optimizer: The model's; only one that scales the loss skips steps.
        weighting: The method.
    """

    def __init__(self, optimizer: Any, weighting: Weighting):
        self._skips = skips_whole_steps(optimizer)
        self._memory = weighting.non_trainable_variables if self._skips else []
        self._before = [tf.identity(variable.value) for variable in self._memory]

    def undo(self, stop: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Put the memory back where the step is skipped. Returns the applied weights, 0 for such a step.

        Args:
            stop: Whether the step is stopped, see `finite.stopped`.
            weights: What the method said.
        """
        if not self._skips:
            return weights
        after = [tf.convert_to_tensor(variable.value) for variable in self._memory]
        replicas.assign(
            list(self._memory), [tf.where(stop, old, new) for old, new in zip(self._before, after, strict=True)]
        )
        return tf.where(stop, tf.zeros_like(weights), weights)

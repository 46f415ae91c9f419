"""A learning rate that rises to another one."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.registry import PACKAGE


@keras.saving.register_keras_serializable(package=PACKAGE)
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise before any other schedule: `start + (after(0) - start) * step / steps`, then `after(step - steps)`.

    Args:
        after: The learning rate that follows: a number above 0, or a schedule of Keras, whose steps count from the end
            of the warm-up.
        steps: Length of the rise in optimizer steps, at least 1.
        start: Learning rate at step 0, at least 0, default 0.

    Raises:
        ValueError: A number is out of range.

    Example:
        >>> schedule = WarmUp(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), steps=4)
        >>> [round(float(schedule(step)), 4) for step in (0, 2, 4, 14)]
        [0.0, 0.05, 0.1, 0.05]

    `keras.optimizers.schedules.CosineDecay` has a warm-up of its own; this one goes before the others.
    """

    def __init__(self, after: Any, steps: int, start: float = 0.0, name: str = "WarmUp"):
        super().__init__()
        is_schedule = isinstance(after, keras.optimizers.schedules.LearningRateSchedule)
        if not is_schedule and not (isinstance(after, (int, float)) and 0 < after < float("inf")):
            raise ValueError(message("a learning rate above 0 or a schedule of Keras", "pass 1e-3", after=after))
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(message("a whole number of steps of at least 1", "pass steps=500", steps=steps))
        if not 0 <= start < float("inf"):
            raise ValueError(message("a finite learning rate of at least 0 to start from", "pass 0.0", start=start))
        self.after = after if is_schedule else float(after)
        self.steps, self.start, self.name = steps, float(start), name

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rise = self.start + (self._later(tf.zeros([])) - self.start) * step / self.steps
        return tf.where(step < self.steps, rise, self._later(tf.maximum(step - self.steps, 0.0)))

    def _later(self, step: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.after(step) if callable(self.after) else self.after, tf.float32)

    def get_config(self) -> dict[str, Any]:
        after = keras.saving.serialize_keras_object(self.after)
        return {"after": after, "steps": self.steps, "start": self.start, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WarmUp":
        return cls(**{**config, "after": keras.saving.deserialize_keras_object(config["after"])})

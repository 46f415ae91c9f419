"""Weights that the user sets, before or during training."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register


@register("static")
class Static(LossWeighting):
    """Fixed task weights: `total = sum_k w_k L_k`, changeable while training, saved with the model.

    Args:
        weights: `{task: weight}` for every task, or `None` (default) to take `compile(loss_weights=...)` and, where
            that is silent, `Task(weight=...)`. Weights are at least 0; a task at 0 is not trained.

    Raises:
        ValueError: A weight is negative or not finite, or a task has none.

    Example:
        >>> from mtl_keras import weightings
        >>> static = weightings.Static({"age": 1.0, "gender": 0.5})
        >>> static.bind(["age", "gender"]).assign({"gender": 0.1})
        >>> {k: round(v, 3) for k, v in static.current().items()}
        {'age': 1.0, 'gender': 0.1}

    Stock Keras matches `loss_weights` by position and keeps them out of checkpoints; here they are matched by name and
    saved.
    """

    paper = "hand-tuned; Kurin et al., NeurIPS 2022, tune them"

    def __init__(self, weights: dict[str, float] | None = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.weights_config = None if weights is None else {k: _checked(k, v) for k, v in dict(weights).items()}

    def create_state(self, num_tasks: int) -> None:
        names = [task.name for task in self.tasks]
        weights = self.weights_config
        if weights is not None and set(weights) != set(names):
            raise ValueError(message(f"one weight for each of {names}", "name every task once", weights=weights))
        values = [1.0 if weights is None else weights[name] for name in names]
        self.task_weights = self.add_state("task_weights", (num_tasks,), values)

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        return tf.convert_to_tensor(self.task_weights.value) * tf.cast(present, "float32")

    def assign(self, weights: dict[str, float]) -> None:
        """Set the weights of the named tasks, from now on; the others keep theirs."""
        names = [task.name for task in self.tasks]
        values = np.array(keras.ops.convert_to_numpy(self.task_weights))
        for name, value in weights.items():
            if name not in names:
                raise ValueError(message(f"a task among {names}", "correct the name", task=name))
            values[names.index(name)] = _checked(name, value)
        self.task_weights.assign(values)

    def current(self) -> dict[str, float]:
        """The weights as they are now."""
        values = keras.ops.convert_to_numpy(self.task_weights)
        return {task.name: float(value) for task, value in zip(self.tasks, values, strict=True)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": self.weights_config}


def _checked(name: str, value: float) -> float:
    if not np.isfinite(value) or value < 0:
        raise ValueError(message("finite task weights of at least 0", "correct it", **{name: value}))
    return float(value)

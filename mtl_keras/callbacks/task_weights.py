"""Task weights that follow a plan."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.weightings import Static


class TaskWeights(keras.callbacks.Callback):
    """Set the weights of `weighting="static"` at the start of epochs.

    Args:
        schedule: `{epoch: {task: weight}}`, or a function from the epoch (from 0) to `{task: weight}`. Tasks that are
            not named keep their weight.

    Raises:
        ValueError: The model's weighting is not `static`, or a task is unknown.

    Example:
        >>> from mtl_keras import callbacks
        >>> warm_up = callbacks.TaskWeights(lambda epoch: {"depth": min(1.0, 0.2 * epoch)})
    """

    def __init__(self, schedule: Mapping[int, Mapping[str, float]] | Callable[[int], Mapping[str, float]]):
        super().__init__()
        self.schedule = schedule

    def on_train_begin(self, logs: Any = None) -> None:
        if not isinstance(self.model.weighting, Static):
            raise ValueError(
                message(
                    "weighting='static', whose weights can be set",
                    "pass it to compile",
                    weighting=self.model.weighting.name,
                )
            )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        weights = self.schedule(epoch) if callable(self.schedule) else self.schedule.get(epoch, {})
        self.model.weighting.assign(dict(weights))

"""The beginning of each epoch, told to methods and data that work in epochs."""

from typing import Any

import keras


class EpochClock(keras.callbacks.Callback):
    """Calls `begin_epoch(epoch)` of every listener that has it; `fit` puts it first among the callbacks."""

    def __init__(self, *listeners: Any):
        super().__init__()
        self.listeners = [listener for listener in listeners if hasattr(listener, "begin_epoch")]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        for listener in self.listeners:
            listener.begin_epoch(epoch)

"""The beginning of each epoch, told to methods that work in epochs."""

import keras

from mtl_keras.weightings import Weighting


class EpochClock(keras.callbacks.Callback):
    """Calls `weighting.begin_epoch(epoch)`; `fit` puts it first among the callbacks."""

    def __init__(self, weighting: Weighting):
        super().__init__()
        self.weighting = weighting

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.weighting.begin_epoch(epoch)

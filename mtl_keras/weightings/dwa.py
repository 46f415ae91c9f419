"""Weights from the pace at which the losses fall."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.weightings.base import LossWeighting, register
from mtl_keras.weightings.checks import number, whole
from mtl_keras.weightings.simplex import softmax_of


@register("dwa")
class DWA(LossWeighting):
    """Dynamic weight average: `w = K softmax(r / T)`, `r_k` the last epoch's mean loss over that of the one before.

    A task that falls slowly has the larger `r_k` and the larger weight. Until two epochs are known `r_k` is 1, so that
    in the first two epochs every weight is 1. K counts the present tasks, and so does the softmax.

    Args:
        temperature: T above 0, default 2.0; larger values make the weights more equal.
        window: None (default) for epochs, or a number of batches: then `r_k` is the mean of the task's last `window`
            losses over that of the `window` before, from the time when both are known. Other code takes 25.

    State, float32. Epochs: `means` and `counts` of the running epoch, `last_means` and `earlier_means` [K]. Window:
    `history` [2 window, K] and `counts` [K]. A batch without labels for a task does not count for it, nor does an epoch
    without any. Losses have to stay above 0.

    Raises:
        ValueError: `temperature` is not above 0, or `window` not a whole number of at least 1.

    Example:
        >>> from mtl_keras import weightings
        >>> dwa, rows = weightings.DWA(window=1), [[1.0, 0.0], [0.0, 1.0]]
        >>> dwa.combine(rows, losses=[1.0, 1.0]).numpy().tolist()
        [1.0, 1.0]
        >>> dwa.combine(rows, losses=[0.5, 1.0]).numpy().round(4).tolist()  # r = (0.5, 1)
        [0.8756, 1.1244]

    The window variant is that of nash-mtl's code, which starts it sooner, with ones for unknown losses, and divides the
    total by K.

    Source: Liu, Johns, Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019.
    """

    positive_losses = True
    paper = "Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019"

    def __init__(self, temperature: float = 2.0, window: int | None = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.temperature = number("temperature", temperature, example=2.0, at_least=0)
        if self.temperature == 0:
            raise ValueError(message("a temperature above 0", "pass temperature=2.0", temperature=temperature))
        self.window = None if window is None else whole("window", window, example=25, at_least=1)

    def create_state(self, num_tasks: int) -> None:
        self.counts = self.add_state("counts", (num_tasks,))
        if self.window is not None:
            self.history = self.add_state("history", (2 * self.window, num_tasks))
            return
        self.means = self.add_state("means", (num_tasks,))
        self.last_means = self.add_state("last_means", (num_tasks,))
        self.earlier_means = self.add_state("earlier_means", (num_tasks,))

    def begin_epoch(self, epoch: int) -> None:
        # the number of the epoch is not used: it begins at 0 again with every fit
        if self.window is not None:
            return
        counts, means, last, earlier = (
            keras.ops.convert_to_numpy(v) for v in (self.counts, self.means, self.last_means, self.earlier_means)
        )
        counted = counts > 0
        self.earlier_means.assign(np.where(counted, last, earlier))
        self.last_means.assign(np.where(counted, means, last))
        self.means.assign(np.zeros_like(means))
        self.counts.assign(np.zeros_like(counts))

    def call(self, losses: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        mask = tf.cast(present, tf.float32)
        counts = tf.convert_to_tensor(self.counts.value) + mask
        self.counts.assign(counts)
        if self.window is None:
            means = tf.convert_to_tensor(self.means.value)
            self.means.assign(means + mask * tf.math.divide_no_nan(losses - means, counts))
            last, earlier = tf.convert_to_tensor(self.last_means.value), tf.convert_to_tensor(self.earlier_means.value)
            known = earlier > 0.0
        else:
            history = tf.convert_to_tensor(self.history.value)
            history = tf.where(present, tf.concat([history[1:], losses[None]], 0), history)
            self.history.assign(history)
            last, earlier = tf.reduce_mean(history[self.window :], 0), tf.reduce_mean(history[: self.window], 0)
            known = counts >= 2 * self.window
        paces = tf.where(known, tf.math.divide_no_nan(last, earlier), tf.ones_like(last))
        return softmax_of(paces / self.temperature, present) * tf.reduce_sum(mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature, "window": self.window}

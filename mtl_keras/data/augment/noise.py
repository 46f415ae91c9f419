"""Noise as of a sensor."""

from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.base import Photometric, amount
from mtl_keras.data.augment.draws import normals


@dataclass(frozen=True)
class Noise(Photometric):
    """Add normal noise to every value; how much is drawn uniformly per example.

    Args:
        std: The largest standard deviation, as a share of the value range, from 0 to 1, default 0.05.

    Example:
        >>> Noise(0.02)
        Noise(std=0.02)
    """

    std: float = 0.05

    draws = 1

    def __post_init__(self) -> None:
        amount("Noise", "std", self.std, 0, 1)

    def apply(self, images: tf.Tensor, numbers: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        strength = numbers[:, 0] * self.std
        return images + strength[:, None, None, None] * normals(seeds, tuple(images.shape[1:]))

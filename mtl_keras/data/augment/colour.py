"""Other light."""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mtl_keras.data.augment.base import Photometric, amount
from mtl_keras.errors import message

# grey as the eye sees it, and the two axes of colour beside it: YIQ, as in the NTSC standard (FCC 1953)
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Colour(Photometric):
    """Change brightness, contrast, saturation and hue, each by an amount drawn uniformly.

    For an image with the mean colour `m`, all four are one affine map of the colours: `x' = A x + t`, where hue turns
    the colour axes of YIQ by an angle, saturation scales them by `1 + s`, contrast scales the distance from the mean
    grey by `1 + c`, and brightness adds `b`. The map is put together first and applied once, so colours are rounded and
    cut off at the ends of the range only once.

    Args:
        brightness: The largest `|b|`, as a share of the value range, from 0 to 1, default 0.2.
        contrast: The largest `|c|`, from 0 to 1, default 0.2.
        saturation: The largest `|s|`, from 0 to 1, default 0.2; images of one channel have none.
        hue: The largest turn, as a share of the full circle, from 0 to 0.5, default 0.02; images of one channel have
            none.

    Example:
        >>> Colour(brightness=0.1, hue=0.0)
        Colour(brightness=0.1, contrast=0.2, saturation=0.2, hue=0.0)
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02

    draws = 4

    def __post_init__(self) -> None:
        for name, highest in (("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5)):
            amount("Colour", name, getattr(self, name), 0, highest)

    def apply(self, images: tf.Tensor, numbers: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        channels = images.shape[-1]
        if channels not in (1, 3):
            raise ValueError(message("images of 1 or 3 channels for Colour", "leave it out", channels=channels))
        brightness, contrast, saturation, hue = tf.unstack((2.0 * numbers - 1.0) * self._largest(), axis=1)
        mean = tf.reduce_mean(images, axis=[1, 2])
        if channels == 1:
            shift = brightness - contrast * mean[:, 0]
            return images * (1.0 + contrast)[:, None, None, None] + shift[:, None, None, None]
        angle = hue * (2.0 * math.pi)
        chroma = 1.0 + saturation
        cos, sin, zero, one = chroma * tf.cos(angle), chroma * tf.sin(angle), tf.zeros_like(angle), tf.ones_like(angle)
        turn = tf.stack([tf.stack(row, -1) for row in ([one, zero, zero], [zero, cos, -sin], [zero, sin, cos])], axis=1)
        colours = tf.matmul(tf.matmul(tf.constant(_FROM_YIQ, tf.float32), turn), tf.constant(_TO_YIQ, tf.float32))
        scale = (1.0 + contrast)[:, None, None] * colours
        # hue and saturation leave grey as it is, so the grey of the mean is that of the input
        grey = tf.linalg.matvec(mean, tf.constant(_TO_YIQ[0], tf.float32))
        flat = tf.reshape(images, [-1, images.shape[1] * images.shape[2], 3])
        changed = tf.matmul(flat, scale, transpose_b=True) + (brightness - contrast * grey)[:, None, None]
        return tf.reshape(changed, tf.shape(images))

    def _largest(self) -> tf.Tensor:
        return tf.constant([self.brightness, self.contrast, self.saturation, self.hue], tf.float32)

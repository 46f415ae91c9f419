"""Turned images."""

import math
from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import about_centre, matrices
from mtl_keras.data.augment.base import Geometric, Size, amount, between


@dataclass(frozen=True)
class Rotate(Geometric):
    """Turn the image about its centre by an angle between `-degrees` and `degrees`, all alike likely.

    Args:
        degrees: The largest angle, from 0 to 180.

    Example:
        >>> Rotate(15)
        Rotate(degrees=15)
    """

    degrees: float

    draws = 1

    def __post_init__(self) -> None:
        amount("Rotate", "degrees", self.degrees, 0, 180)

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        angle = between(numbers[:, 0], -self.degrees, self.degrees) * (math.pi / 180.0)
        cos, sin = tf.cos(angle), tf.sin(angle)
        zero = tf.zeros_like(angle)
        return about_centre(matrices([[cos, -sin, zero], [sin, cos, zero]]), size), size

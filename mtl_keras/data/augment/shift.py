"""Moved images."""

from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import matrices
from mtl_keras.data.augment.base import Geometric, Size, amount, between


@dataclass(frozen=True)
class Shift(Geometric):
    """Move the content sideways and up or down.

    Args:
        horizontal: The furthest way, as a share of the width, from 0 to 1, default 0.1.
        vertical: The furthest way, as a share of the height, default 0.1.

    Example:
        >>> Shift(0.2)
        Shift(horizontal=0.2, vertical=0.1)
    """

    horizontal: float = 0.1
    vertical: float = 0.1

    draws = 2

    def __post_init__(self) -> None:
        amount("Shift", "horizontal", self.horizontal, 0, 1)
        amount("Shift", "vertical", self.vertical, 0, 1)

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        x = between(numbers[:, 0], -self.horizontal, self.horizontal) * size.width
        y = between(numbers[:, 1], -self.vertical, self.vertical) * size.height
        one, zero = tf.ones_like(x), tf.zeros_like(x)
        return matrices([[one, zero, -x], [zero, one, -y]]), size

"""Mirror images."""

from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import matrices
from mtl_keras.data.augment.base import Geometric, Size, amount


@dataclass(frozen=True)
class Flip(Geometric):
    """Swap left and right, or top and bottom, each with a chance of its own.

    Args:
        horizontal: Chance that left and right are swapped, from 0 to 1, default 0.5.
        vertical: Chance that top and bottom are swapped, default 0.0.

    Example:
        >>> Flip(vertical=0.5)
        Flip(horizontal=0.5, vertical=0.5)
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    draws = 2
    exact = True

    def __post_init__(self) -> None:
        amount("Flip", "horizontal", self.horizontal, 0, 1)
        amount("Flip", "vertical", self.vertical, 0, 1)

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        x, y = (
            tf.cast(numbers[:, i] < chance, tf.float32) for i, chance in enumerate((self.horizontal, self.vertical))
        )
        zero = tf.zeros_like(x)
        return matrices([[1.0 - 2.0 * x, zero, x * size.width], [zero, 1.0 - 2.0 * y, y * size.height]]), size

"""Larger and smaller images."""

import math
from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import about_centre, matrices
from mtl_keras.data.augment.base import Geometric, Size, amount, between
from mtl_keras.errors import message


@dataclass(frozen=True)
class Zoom(Geometric):
    """Enlarge or shrink the content about the centre; the image keeps its size.

    The factor is drawn so that its logarithm is uniform: with 0.5 and 2.0, halving is as likely as doubling.

    Args:
        smallest: The smallest factor, above 0; below 1 the content shrinks.
        largest: The largest factor; above 1 the content grows and its edge leaves the image.
        stretch: How far height and width may differ in their factors, as a share: 0.1 allows a ratio up to 1.1, default
            0.0.

    Example:
        >>> Zoom(0.8, 1.25)
        Zoom(smallest=0.8, largest=1.25, stretch=0.0)
    """

    smallest: float = 0.8
    largest: float = 1.25
    stretch: float = 0.0

    draws = 2

    def __post_init__(self) -> None:
        amount("Zoom", "smallest", self.smallest, 0.01, 100)
        amount("Zoom", "largest", self.largest, 0.01, 100)
        amount("Zoom", "stretch", self.stretch, 0, 10)
        if self.smallest > self.largest:
            raise ValueError(
                message("smallest not above largest in Zoom", "swap them", smallest=self.smallest, largest=self.largest)
            )

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        factor = tf.exp(between(numbers[:, 0], math.log(self.smallest), math.log(self.largest)))
        widest = 0.5 * math.log1p(self.stretch)
        ratio = tf.exp(between(numbers[:, 1], -widest, widest))
        zero = tf.zeros_like(factor)
        return about_centre(matrices([[1.0 / (factor * ratio), zero, zero], [zero, ratio / factor, zero]]), size), size

"""Parts of images, enlarged."""

import math
from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import matrices
from mtl_keras.data.augment.base import Geometric, Size, amount, between


@dataclass(frozen=True)
class ResizedCrop(Geometric):
    """Cut out a part of random size and place, and scale it to the size of the image.

    Args:
        smallest: The smallest part, as a share of the image's area, above 0 and up to 1, default 0.6.
        stretch: How far the part's ratio of width to height may differ from the image's, as a share: 1/3 (default)
            allows ratios from 3/4 to 4/3 of it.

    Example:
        >>> ResizedCrop(0.5)
        ResizedCrop(smallest=0.5, stretch=0.3333333333333333)

    Source: Szegedy et al., Going Deeper with Convolutions, CVPR 2015 (with parts from 8 % on). Where we depart: a part
    that would not fit is cut down to what the image has, not drawn again.
    """

    smallest: float = 0.6
    stretch: float = 1 / 3

    draws = 4

    def __post_init__(self) -> None:
        amount("ResizedCrop", "smallest", self.smallest, 0.01, 1)
        amount("ResizedCrop", "stretch", self.stretch, 0, 10)

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        side = tf.sqrt(between(numbers[:, 0], self.smallest, 1.0))
        widest = 0.5 * math.log1p(self.stretch)
        ratio = tf.exp(between(numbers[:, 1], -widest, widest))
        width, height = tf.minimum(side * ratio, 1.0), tf.minimum(side / ratio, 1.0)
        left, top = (1.0 - width) * numbers[:, 2] * size.width, (1.0 - height) * numbers[:, 3] * size.height
        zero = tf.zeros_like(side)
        return matrices([[width, zero, left], [zero, height, top]]), size

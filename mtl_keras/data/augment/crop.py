"""Parts of images."""

from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.data.augment.affine import matrices
from mtl_keras.data.augment.base import Geometric, Size
from mtl_keras.errors import message


@dataclass(frozen=True)
class Crop(Geometric):
    """Cut out a part of fixed size at a random place; every place is alike likely.

    Training images become smaller than those of validation, which are never augmented: for models that take images of
    any size. `ResizedCrop` keeps the size.

    Args:
        height: Of the part, in pixels, at most that of the images.
        width: Of the part, default `height`.

    Example:
        >>> Crop(56)
        Crop(height=56, width=56)
    """

    height: int
    width: int | None = None

    draws = 2
    exact = True

    def __post_init__(self) -> None:
        if self.width is None:
            object.__setattr__(self, "width", self.height)
        for name, value in (("height", self.height), ("width", self.width)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(message(f"{name} of Crop in whole pixels", f"pass {name}=56", **{name: value}))

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        part = Size(self.height, self.width or self.height)
        if part.height > size.height or part.width > size.width:
            raise ValueError(
                message(
                    f"images of at least {part.height}x{part.width} pixels for Crop",
                    "crop less, or read larger images",
                    images=f"{size.height}x{size.width}",
                )
            )
        x = tf.floor(numbers[:, 0] * (size.width - part.width + 1))
        y = tf.floor(numbers[:, 1] * (size.height - part.height + 1))
        one, zero = tf.ones_like(x), tf.zeros_like(x)
        return matrices([[one, zero, x], [zero, one, y]]), part

"""What an augmentation is: a small frozen object that says how an example may change."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import tensorflow as tf

from mtl_keras.errors import message


class Size(NamedTuple):
    """Height and width of images in pixels; known when a pipeline is built."""

    height: int
    width: int


@dataclass(frozen=True)
class Augmentation:
    """Base of all augmentations; each is one of the kinds below.

    An augmentation holds its settings and nothing else. What happens to an example follows from the numbers it is
    handed, which follow from the example's seed: the same seed gives the same picture, whatever the batch around it.

    Class attributes:
        draws: How many uniform numbers from [0, 1) one example needs.
    """

    draws = 0

    @property
    def name(self) -> str:
        """The class' name, as error messages call it."""
        return type(self).__name__

    def describe(self) -> dict[str, Any]:
        """Name and settings, plain JSON types only; what a run's configuration keeps."""
        settings = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        return {"name": self.name, **settings}


class Geometric(Augmentation):
    """Moves pixels, and with them masks and boxes.

    Class attributes:
        exact: Output pixels are input pixels, and none comes from outside the image: nothing is interpolated.
    """

    exact = False

    def matrix(self, numbers: tf.Tensor, size: Size) -> tuple[tf.Tensor, Size]:
        """Where the output is taken from.

        Args:
            numbers: Uniform numbers, float32 [B, draws].
            size: Of the images that come in.

        Returns:
            Affine matrices float32 [B, 3, 3] that take points (x, y, 1) of the output to points of the input, and the
            size of the output. Coordinates are in pixels from the top left corner; pixel (i, j) covers x from j to
            j + 1 and y from i to i + 1.
        """
        raise TypeError(f"{self.name} is no complete augmentation: define matrix")


class Photometric(Augmentation):
    """Changes the values of pixels; masks and boxes stay."""

    def apply(self, images: tf.Tensor, numbers: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """The changed images.

        Args:
            images: Float32 [B, H, W, C], scaled to 0..1.
            numbers: Uniform numbers, float32 [B, draws].
            seeds: Int64 [B, 2], for augmentations that need more numbers than they can name.

        Returns:
            Images of the same shape; the chain clips them to 0..1.
        """
        raise TypeError(f"{self.name} is no complete augmentation: define apply")


def between(numbers: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Uniform numbers from [0, 1) spread over [low, high)."""
    return low + (high - low) * numbers


def amount(owner: str, name: str, value: Any, low: float, high: float) -> float:
    """The value as a float, if it lies in [low, high].

    Example:
        >>> amount("Noise", "std", 0.1, 0.0, 1.0)
        0.1
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and low <= value <= high:
        return float(value)
    raise ValueError(message(f"{name} of {owner} from {low:g} to {high:g}", "correct it", **{name: value}))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value

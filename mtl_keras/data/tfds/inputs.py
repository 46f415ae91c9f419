"""Inputs from the features of a tensorflow-datasets builder."""

from typing import Any

import tensorflow as tf

from mtl_keras.data.decoding import BY_PILLOW, ImageDecoder
from mtl_keras.errors import message
from mtl_keras.images import ImageFormat, UnreadableImage, read_header


class TensorInput:
    """An array of fixed shape, as the builder decodes it.

    Args:
        feature: The builder's feature.
    """

    # whether what is stored is to be looked at before training
    packed = False

    def __init__(self, feature: Any):
        self.spec = tf.TensorSpec(feature.shape, feature.dtype)

    @property
    def before(self) -> dict[str, Any]:
        """What is done to the input before the model sees it, see `Source`."""
        return {"scale": 1 / 255, "pixels": "0..255"} if self.spec.dtype == tf.uint8 else {}

    def decode(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        """The input of one example, in a graph."""
        return tf.ensure_shape(stored, self.spec.shape)


class ImageInput:
    """An encoded image of any size, which becomes uint8 of one size.

    Args:
        image_format: What it becomes.
    """

    packed = True

    def __init__(self, image_format: ImageFormat):
        self._decoder = ImageDecoder(image_format)
        self.spec = tf.TensorSpec(image_format.shape, tf.uint8)

    @property
    def before(self) -> dict[str, Any]:
        """What is done to the input before the model sees it, see `Source`."""
        return self._decoder.before

    def plan(self, stored: bytes) -> list[int]:
        """How the image is to be decoded, by its header; Pillow reads what nothing is known of."""
        try:
            return self._decoder.plans([read_header(stored)])[0].tolist()  # type: ignore[no-any-return]
        except UnreadableImage:
            return [BY_PILLOW, 1]

    def decode(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        """The input of one example, in a graph."""
        return self._decoder(stored, fact)


def input_of(name: str, feature: Any, size: Any) -> TensorInput | ImageInput:
    """How an input is read.

    Args:
        name: The feature's name.
        feature: The builder's feature.
        size: What images become, see `from_tfds`, or None.

    Raises:
        ValueError: Its shape is not fixed and no size is given, or it is no array of numbers.
    """
    import tensorflow_datasets as tfds

    shape, dtype = feature.shape, tf.as_dtype(feature.dtype)
    encoded = isinstance(feature, tfds.features.Image) and dtype == tf.uint8
    if encoded and size is not None:
        return ImageInput(size if isinstance(size, ImageFormat) else ImageFormat.of(size, channels=_channels(shape)))
    if shape is None or None in shape or not (dtype.is_floating or dtype.is_integer):
        do = "pass image_size=128" if encoded else "choose other inputs"
        raise ValueError(message(f"an input of one known shape in feature {name!r}", do, shape=shape, dtype=dtype.name))
    return TensorInput(feature)


def input_names(features: Any, supervised: Any, tasks: list[str]) -> list[str]:
    """The builder's own input where the user names none: what it is supervised by, or the feature called "image".

    Raises:
        ValueError: It has neither.
    """
    first = supervised[0] if supervised and isinstance(supervised[0], str) else "image"
    if first not in features or first in tasks:
        raise ValueError(message("the features that are inputs", 'pass inputs=["..."]', features=list(features)))
    return [first]


def _channels(shape: Any) -> int:
    return 1 if shape and shape[-1] == 1 else 3

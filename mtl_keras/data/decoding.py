"""Image files to pixels inside a tf.data pipeline.

TensorFlow's own decoders are the fastest; they know nothing of EXIF orientation, transparency and some rarer forms. So
the header of every file is read once, before training, and says how the file is decoded: by TensorFlow, turned as the
orientation says, or by Pillow.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from mtl_keras.images import ImageFormat, ImageHeader, UnreadableImage, read_pixels

# decoders by number; those from JPEG on decode at a fraction of the size, for much less than the whole costs
BY_PILLOW, PNG, JPEG = 0, 1, 2
_FRACTIONS = (1, 2, 4, 8)
# how many times the size that is wanted each has to leave, so that the last step decides how the image looks: from that
# on the pixels of a photo differ by less than one grey level in the mean
_LEFT = (0.0, 1.5, 2.5, 2.5)


class ImageDecoder:
    """From the bytes of an image file to uint8 [height, width, channels], in a graph.

    Args:
        image_format: What comes out.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (8, 6), (0, 0, 255)).save(file, "PNG")
        >>> ImageDecoder(ImageFormat(2, 2))(file.getvalue(), [PNG, 1])[0, 0].numpy().tolist()
        [0, 0, 255]
    """

    def __init__(self, image_format: ImageFormat):
        self.format = image_format

    @property
    def before(self) -> dict[str, Any]:
        """What is done to an image before the model sees it, see `Source`."""
        made = self.format
        pixels = f"{'RGB' if made.channels == 3 else 'grey'}, 0..255, {made.height}x{made.width}"
        return {"scale": 1 / 255, "pixels": pixels, "image": made.describe()}

    def plans(self, headers: Iterable[ImageHeader | None]) -> np.ndarray:
        """How each file is read: uint8 [N, 2], a decoder and an EXIF orientation; Pillow reads what has no header."""
        return np.fromiter((part for header in headers for part in self._plan(header)), np.uint8).reshape(-1, 2)

    def _plan(self, header: ImageHeader | None) -> tuple[int, int]:
        if header is None or not header.plain:
            return BY_PILLOW, 1
        if header.format != "JPEG":
            return PNG, header.orientation
        turned = header.orientation >= 5
        height, width = (header.width, header.height) if turned else (header.height, header.width)
        wanted = self.format.layout(height, width)
        fits = [
            number
            for number, (part, left) in enumerate(zip(_FRACTIONS, _LEFT, strict=True))
            if height // part >= left * wanted[0] and width // part >= left * wanted[1]
        ]
        return JPEG + max(fits), header.orientation

    # the graph is written out below: nothing to convert, and no sources needed where the library runs
    @tf.autograph.experimental.do_not_convert
    def __call__(self, contents: tf.Tensor, plan: tf.Tensor) -> tf.Tensor:
        """Decode, turn and resize one image.

        Args:
            contents: The bytes of the file, string scalar.
            plan: Its plan, uint8 [2]; one that is known when the graph is built costs less than one that is looked up.
        """
        known = tf.get_static_value(plan)
        decoder, orientation = tf.unstack(tf.cast(plan, tf.int32))
        if known is None:
            pixels = tf.switch_case(decoder, self._decoders(contents))
            pixels = tf.cond(orientation == 1, lambda: pixels, lambda: _turned(pixels, orientation))
        else:
            pixels = self._decoders(contents)[int(known[0])]()
            pixels = pixels if int(known[1]) == 1 else _turned(pixels, orientation)
        pixels.set_shape((None, None, self.format.channels))
        return self._resized(pixels)

    @tf.autograph.experimental.do_not_convert
    def upright(self, contents: tf.Tensor) -> tf.Tensor:
        """Decode and resize an image whose header nobody has read: JPEG, PNG or GIF, upright, opaque.

        Args:
            contents: The bytes of the file, string scalar.
        """
        # the operation for JPEG reads the other two as well
        pixels = tf.io.decode_jpeg(contents, self.format.channels, dct_method="INTEGER_ACCURATE")
        pixels.set_shape((None, None, self.format.channels))
        return self._resized(pixels)

    def _decoders(self, contents: tf.Tensor) -> list[Callable[[], tf.Tensor]]:
        """In the order of the plan's numbers."""
        channels = self.format.channels

        def jpeg(fraction: int) -> Callable[[], tf.Tensor]:
            # the accurate transform gives exactly what viewers show
            return lambda: tf.io.decode_jpeg(contents, channels, fraction, dct_method="INTEGER_ACCURATE")

        return [
            lambda: self._by_pillow(contents),
            lambda: tf.io.decode_png(contents, channels),
            *(jpeg(fraction) for fraction in _FRACTIONS),
        ]

    def _by_pillow(self, contents: tf.Tensor) -> tf.Tensor:
        def decode(data: bytes) -> np.ndarray:
            return read_pixels(bytes(data), self.format.channels, self.format.background)

        return tf.numpy_function(decode, [contents], tf.uint8, stateful=False)

    def _resized(self, pixels: tf.Tensor) -> tf.Tensor:
        made = self.format
        if made.resize == "fit":
            size = tf.constant((made.height, made.width))
        else:
            shape = tf.cast(tf.shape(pixels)[:2], tf.float64)
            factors = tf.constant((made.height, made.width), tf.float64) / shape
            factor = tf.reduce_max(factors) if made.resize == "fill" else tf.reduce_min(factors)
            size = tf.maximum(tf.cast(tf.floor(shape * factor + 0.5), tf.int32), 1)
        whole = _resized(pixels, size)
        if made.resize == "fill":
            start = tf.maximum(size - (made.height, made.width), 0) // 2
            whole = tf.slice(whole, [start[0], start[1], 0], [made.height, made.width, made.channels])
        elif made.resize == "pad":
            room = tf.constant((made.height, made.width)) - size
            before = room // 2
            paddings = tf.stack(
                [tf.stack([before[0], room[0] - before[0]]), tf.stack([before[1], room[1] - before[1]]), (0, 0)]
            )
            whole = tf.pad(whole, paddings, constant_values=made.background)
        return tf.ensure_shape(whole, made.shape)


def _resized(pixels: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Pixels [H, W, C] in another size [2], antialiased, rounded to uint8.

    What `tf.image.resize` gives, bit for bit, and faster: one axis after the other, with the rest as channels, since it
    is slow where there are few of them.
    """
    across = tf.transpose(_first_axis_resized(pixels, size[0]), (1, 0, 2))
    whole = tf.saturate_cast(tf.round(_first_axis_resized(across, size[1])), tf.uint8)
    return tf.transpose(whole, (1, 0, 2))


def _first_axis_resized(values: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(values)
    flat = tf.reshape(values, (shape[0], 1, shape[1] * shape[2]))
    return tf.reshape(tf.image.resize(flat, tf.stack([length, 1]), antialias=True), (length, shape[1], shape[2]))


def why_undecodable(file: str | bytes, error: Exception) -> str:
    """What a file that could not be decoded, or its bytes, should have been, given the error that decoding raised.

    Pillow says better what is wrong with a file; what it can read after all is wrong all the same.
    """
    try:
        read_pixels(file)
    except UnreadableImage as unreadable:
        return unreadable.expected
    # the first line leads through the pipeline to what happened
    return f"an image file that TensorFlow decodes ({str(error).splitlines()[0].rpartition(': ')[2][:120]})"


def _turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Pixels [H, W, C] upright, by EXIF orientation 1 to 8."""

    swapped = tf.cond(orientation >= 5, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    down = tf.reduce_any(orientation == (3, 4, 7, 8))
    across = tf.reduce_any(orientation == (2, 3, 6, 7))
    flipped = tf.cond(down, lambda: tf.reverse(swapped, (0,)), lambda: swapped)
    return tf.cond(across, lambda: tf.reverse(flipped, (1,)), lambda: flipped)

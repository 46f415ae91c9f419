"""Image files, and pixels of any size, as the array that a model's input wants. Pillow is imported for them only."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from mtl_keras.errors import message

_SIDES = ("height", "width", "channels")


def as_array(name: str, value: Any, shape: Sequence[int], steps: Mapping[str, Any]) -> Any:
    """An input with its image files read and its pixels resized; anything else as it is.

    Args:
        name: The input's name.
        value: A file (path, or bytes of a file), pixels uint8, several of either, or anything.
        shape: Shape of the model's input with batch axis; -1 for a free side.
        steps: What the manifest recorded; pixels are resized only if it has an `"image"`.

    Returns:
        What `mtl_keras.images.ImageFormat.prepared` makes of it, or the value.

    Raises:
        ValueError: A file is no image, or the input takes none.
    """
    examples = value if isinstance(value, (list, tuple)) else [value]
    files = any(isinstance(one, (str, PathLike, bytes)) for one in examples)
    odd = any(_is_pixels(one) and one.shape[-len(shape) + 1 :] != tuple(shape[1:]) for one in examples)
    if not files and not (odd and "image" in steps):
        return value
    return image_format(name, shape, steps).prepared(value)


def image_format(name: str, shape: Sequence[int], steps: Mapping[str, Any]) -> Any:
    """The `mtl_keras.images.ImageFormat` of an input: what was recorded, and else its own size, scaled to fit.

    Raises:
        ValueError: The input takes no images, or nothing tells their size.
    """
    if len(shape) != 4:
        raise ValueError(
            message(f"no image for input {name!r}, which takes another shape", "pass arrays", shape=list(shape[1:]))
        )
    from mtl_keras.images import ImageFormat

    if "image" in steps:
        return ImageFormat.from_description(steps["image"])
    if -1 in shape[1:]:
        raise ValueError(
            message(
                f"a size for images, which input {name!r} leaves free",
                "export with before={'image': {'height': ..., 'width': ..., 'channels': ...}}, or pass arrays",
                shape=list(shape[1:]),
            )
        )
    height, width, channels = shape[1:]
    return ImageFormat(height, width, channels=channels)


def complete_format(name: str, shape: Sequence[int], image: Mapping[str, Any]) -> dict[str, Any]:
    """A format that may be given in part, with the input's own size and channels, as the manifest keeps it.

    Args:
        name: The input's name.
        shape: Shape of the input without batch axis; -1 for a free side.
        image: Some of `ImageFormat`'s arguments.

    Raises:
        ValueError: The input takes no images, or of another size; or an argument is missing or out of range.
    """
    from mtl_keras.images import ImageFormat

    sides = dict(zip(_SIDES, shape, strict=False))
    if len(shape) != 3 or any(side not in (-1, image.get(key, side)) for key, side in sides.items()):
        raise ValueError(
            message(
                f"an image of the shape that input {name!r} has, {list(shape)}",
                "leave height, width and channels out, they are recorded",
                image=dict(image),
            )
        )
    own = {key: side for key, side in sides.items() if side != -1}
    return ImageFormat.from_description({**own, **image}).describe()


def _is_pixels(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8

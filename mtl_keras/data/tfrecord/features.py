"""How an input is stored in a record: one class per way, each knows how to read it, and some how to write it."""

import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from mtl_keras.data.decoding import BY_PILLOW, ImageDecoder, why_undecodable
from mtl_keras.errors import message
from mtl_keras.images import ImageFormat, UnreadableImage, read_header


class Feature(ABC):
    """One input in the `tf.train.Example` of a record.

    Attributes:
        feature: Name of the feature in the record, None where it is the input's own name.

    Class attributes:
        way: Name of the way, in `dataset.json`.
        no_fact: What stands for the fact of a record that cannot be used, see `look`.
        takes_batches: Whether `read` takes a batch of stored values at once, which costs much less.
    """

    feature: str | None
    way: ClassVar[str] = ""
    no_fact: ClassVar[Any] = 0
    takes_batches: ClassVar[bool] = False

    @property
    @abstractmethod
    def spec(self) -> tf.TensorSpec:
        """Shape and dtype of the input of one example."""

    @property
    def stored(self) -> tf.io.FixedLenFeature:
        """What the parser is to find."""
        return tf.io.FixedLenFeature((), tf.string)

    @property
    def before(self) -> dict[str, Any]:
        """What is done to the input before the model sees it, see `Source`."""
        return {}

    def look(self, stored: Any) -> tuple[Any, str]:
        """Look at a stored value, once for every record before training.

        Args:
            stored: Bytes, or a sequence of numbers of the right length.

        Returns:
            A fact that `read` needs of this record, and what would have been right, "" where all is.
        """
        return self.no_fact, ""

    def try_out(self, stored: Sequence[Any], facts: Sequence[Any]) -> dict[int, str]:
        """Read the stored values of several records as training will, where `look` alone cannot tell how that ends.

        Args:
            stored: What `look` found nothing wrong with.
            facts: What it told of each.

        Returns:
            `{place: what would have been right}` of those that cannot be read.
        """
        return {}

    def thorough(self) -> "Feature":
        """The same, but that nothing is left unlooked at."""
        return self

    @abstractmethod
    def read(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        """The input of one example, in a graph; or of a batch, where `takes_batches`."""


class Writable(Feature):
    """A way in which `write_tfrecord` can store an input of fixed shape."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self.shape, self.dtype)

    @abstractmethod
    def write(self, values: np.ndarray) -> tf.train.Feature:
        """The input of one example as it is stored."""

    def describe(self) -> dict[str, Any]:
        """What `dataset.json` keeps."""
        return {"way": self.way, "shape": list(self.shape), "dtype": self.dtype}


def _settle(feature: "Numbers | Raw") -> None:
    """Shape as a tuple and dtype as a name, from whatever a user may write.

    Raises:
        ValueError: A size is not known, or there is no such dtype of numbers.
    """
    stated = feature.shape
    shape = (stated,) if isinstance(stated, int) else tuple(stated)
    if not all(isinstance(size, (int, np.integer)) and size > 0 for size in shape):
        raise ValueError(message("a shape of whole numbers from 1", "state every size", shape=shape))
    try:
        dtype = tf.as_dtype(feature.dtype)
    except TypeError as error:
        raise ValueError(message("a dtype of numbers", "pass e.g. 'float32'", dtype=feature.dtype)) from error
    if dtype == tf.string:
        raise ValueError(message("a dtype of numbers", "pass e.g. 'float32'", dtype=dtype.name))
    object.__setattr__(feature, "shape", shape)
    object.__setattr__(feature, "dtype", dtype.name)


@dataclass(frozen=True)
class Numbers(Writable):
    """A list of floats or whole numbers, as `tf.train.FloatList` or `Int64List`.

    Args:
        shape: Of the input of one example.
        dtype: Of the input, default `"float32"`; floats have to be finite.
        feature: Name of the feature in the record, default the input's own name.

    Example:
        >>> Numbers((3,)).stored
        FixedLenFeature(shape=(3,), dtype=tf.float32, default_value=None)
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    feature: str | None = None

    way = "numbers"
    takes_batches = True

    def __post_init__(self) -> None:
        _settle(self)

    @property
    def stored(self) -> tf.io.FixedLenFeature:
        return tf.io.FixedLenFeature(self.shape, tf.float32 if self._floating else tf.int64)

    @property
    def _floating(self) -> bool:
        return bool(tf.as_dtype(self.dtype).is_floating)

    def look(self, stored: Any) -> tuple[int, str]:
        return 0, "" if np.isfinite(np.asarray(stored)).all() else "finite numbers"

    def read(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        return tf.cast(stored, self.dtype)

    def write(self, values: np.ndarray) -> tf.train.Feature:
        flat = np.ravel(values)
        if self._floating:
            return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))


@dataclass(frozen=True)
class Raw(Writable):
    """The bytes of an array in C order, little-endian: the fastest to read, the largest to store.

    Args:
        shape: Of the input of one example.
        dtype: Of the array, default `"uint8"`; uint8 is taken for pixels and multiplied with 1 / 255 in batches.
        feature: Name of the feature in the record, default the input's own name.

    Example:
        >>> feature = Raw((2,), "int32")
        >>> feature.read(feature.write(np.array([1, 2])).bytes_list.value[0], 0).numpy().tolist()
        [1, 2]
    """

    shape: tuple[int, ...]
    dtype: str = "uint8"
    feature: str | None = None

    way = "raw"
    takes_batches = True

    def __post_init__(self) -> None:
        _settle(self)

    @property
    def before(self) -> dict[str, Any]:
        return {"scale": 1 / 255, "pixels": "0..255"} if self.dtype == "uint8" else {}

    def look(self, stored: Any) -> tuple[int, str]:
        size = int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        return 0, "" if len(stored) == size else f"{size} bytes, for {self.dtype} of shape {list(self.shape)}"

    def read(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        stored = tf.convert_to_tensor(stored)
        shape = tf.concat([tf.shape(stored), self.shape], axis=0)
        return tf.ensure_shape(tf.reshape(tf.io.decode_raw(stored, self.dtype), shape), stored.shape + self.shape)

    def write(self, values: np.ndarray) -> tf.train.Feature:
        data = np.asarray(values, np.dtype(self.dtype).newbyteorder("<")).tobytes()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))


@dataclass(frozen=True)
class Png(Writable):
    """An image uint8 [H, W, 1 or 3] of fixed size, packed without loss.

    Args:
        shape: `(height, width, channels)`.
        feature: Name of the feature in the record, default the input's own name.

    Example:
        >>> feature = Png((2, 2, 1))
        >>> feature.read(feature.write(np.full((2, 2, 1), 7)).bytes_list.value[0], 0)[0, 0].numpy().tolist()
        [7]
    """

    shape: tuple[int, ...]
    feature: str | None = None

    way = "png"
    dtype = "uint8"

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or self.shape[-1] not in (1, 3):
            raise ValueError(
                message("the shape (height, width, 1 or 3) for Png", "store the input as Raw", shape=self.shape)
            )

    @property
    def before(self) -> dict[str, Any]:
        return {"scale": 1 / 255, "pixels": "0..255"}

    def look(self, stored: Any) -> tuple[int, str]:
        # the first chunk of a PNG file holds width and height, big-endian, at 16
        height, width = (int.from_bytes(stored[at : at + 4], "big") for at in (20, 16))
        right = (height, width) == self.shape[:2] and _is_whole_png(stored)
        return 0, "" if right else f"a PNG image of {self.shape[0]}x{self.shape[1]} pixels"

    def read(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.io.decode_png(stored, self.shape[-1]), self.shape)

    def write(self, values: np.ndarray) -> tf.train.Feature:
        data = tf.io.encode_png(tf.constant(values, tf.uint8)).numpy()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))


def _is_whole_png(data: bytes) -> bool:
    """Whether all chunks are there with the right checksums, down to the last: decoding it would tell no more."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data) or zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


@dataclass(frozen=True)
class ImageFile(Feature):
    """An image file (JPEG, PNG, BMP, GIF or WebP) of any size, which becomes uint8 of one size, as a person sees it.

    Args:
        size: One side, `(height, width)`, or an `ImageFormat` for grey images or another way to resize.
        feature: Name of the feature in the record, default the input's own name.
        check: What is looked at before training: `"pixels"` (default; that it can be decoded, which takes about as long
            as an epoch of reading), or `"headers"` alone.

    Example:
        >>> ImageFile(64, "image/encoded").spec.shape
        TensorShape([64, 64, 3])
    """

    size: Any = 128
    feature: str | None = None
    check: str = "pixels"

    way = "image"
    no_fact = (BY_PILLOW, 1)

    def __post_init__(self) -> None:
        if self.check not in ("headers", "pixels"):
            raise ValueError(message("a check among ['headers', 'pixels']", "choose one", check=self.check))
        object.__setattr__(self, "size", ImageFormat.of(self.size))

    @property
    def spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self.size.shape, tf.uint8)

    @property
    def before(self) -> dict[str, Any]:
        return ImageDecoder(self.size).before

    def look(self, stored: Any) -> tuple[tuple[int, int], str]:
        try:
            header = read_header(stored)
        except UnreadableImage as error:
            return self.no_fact, error.expected
        decoder, orientation = ImageDecoder(self.size).plans([header])[0].tolist()
        return (decoder, orientation), ""

    def try_out(self, stored: Sequence[bytes], facts: Sequence[tuple[int, int]]) -> dict[int, str]:
        if self.check != "pixels":
            return {}
        decoder = ImageDecoder(self.size)

        def tried(contents: bytes, plan: tuple[int, int]) -> str:
            try:
                decoder(tf.constant(contents), np.array(plan, np.uint8))
            except tf.errors.OpError as error:
                return why_undecodable(contents, error)
            return ""

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(tried, stored, facts))
        return {place: expected for place, expected in enumerate(found) if expected}

    def thorough(self) -> Feature:
        return replace(self, check="pixels")

    def read(self, stored: tf.Tensor, fact: tf.Tensor) -> tf.Tensor:
        return ImageDecoder(self.size)(stored, fact)


WAYS: dict[str, type[Writable]] = {cls.way: cls for cls in (Numbers, Raw, Png)}  # type: ignore[type-abstract]


def from_description(described: dict[str, Any]) -> Writable:
    """The feature from what `describe` gave."""
    settings = {"shape": tuple(described["shape"])}
    if described["way"] != Png.way:
        settings["dtype"] = described["dtype"]
    return WAYS[described["way"]](**settings)  # type: ignore[arg-type]


def stated_feature(name: str, stated: Any) -> Feature:
    """How an input is stored, from what a user may pass.

    Raises:
        ValueError: It is neither a feature nor what can be made into one.

    Example:
        >>> stated_feature("x", tf.io.FixedLenFeature([2], tf.int64))
        Numbers(shape=(2,), dtype='int64', feature=None)
    """
    if isinstance(stated, Feature):
        return stated
    if isinstance(stated, tf.io.FixedLenFeature) and tf.as_dtype(stated.dtype) in (tf.float32, tf.int64):
        return Numbers(stated.shape, tf.as_dtype(stated.dtype).name)
    if isinstance(stated, ImageFormat):
        return ImageFile(stated)
    raise ValueError(
        message(
            f"how input {name!r} is stored",
            "pass tfrecord.ImageFile(64) for encoded images, tfrecord.Numbers or tfrecord.Raw for arrays",
            stored=stated,
        )
    )

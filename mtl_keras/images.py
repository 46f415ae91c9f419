"""Image files as a person sees them, and the one form in which a model takes them. Needs NumPy and Pillow only."""

import io
import math
import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, WebPImagePlugin  # noqa: F401  the last registers its format

from mtl_keras.errors import message

RESIZE = ("fit", "fill", "pad")
# what Pillow may try on a file: every other decoder stays shut
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 50_000_000
_ORIENTATION = 0x0112
_KNOWN = "an image file (JPEG, PNG, BMP, GIF or WebP)"
# how files begin; two letters, as those of BMP, may begin anything
_BEGINS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF", b"RIFF": "WebP"}
_CUT = "a {} file whose header is whole, not cut off or damaged"
_SMALL = "an image of at most {:,} pixels"


class UnreadableImage(ValueError):
    """A file that is no image, or not one that should be read.

    Attributes:
        expected: What the file should have been.
    """

    def __init__(self, expected: str, do: str, **received: Any):
        super().__init__(message(expected, do, **received))
        self.expected = expected


@dataclass(frozen=True)
class ImageFormat:
    """What image files become: uint8 [height, width, channels], 0..255.

    A file comes out as a person sees it: turned as its EXIF orientation says, CMYK and palettes as colours, the first
    frame of an animation, transparent parts over the background.

    Args:
        height, width: Size in pixels.
        resize: `"fit"` (default) scales both sides to the size, whatever that does to the proportions; `"fill"` keeps
            the proportions and cuts off what stands out, equally on both sides; `"pad"` keeps them and fills the rest
            with the background. All scale bilinearly, with antialiasing.
        channels: 3 (default) for RGB, 1 for grey.
        background: Grey level behind transparent parts and beside padded images, 0..255, default 255, white.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> red = np.full((20, 10, 3), (255, 0, 0), np.uint8)
        >>> padded = ImageFormat(4, 4, "pad", background=0).resized(red)
        >>> padded[0, :, 0].tolist()
        [0, 255, 255, 0]
    """

    height: int
    width: int
    resize: str = "fit"
    channels: int = 3
    background: int = 255

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not _is_whole(getattr(self, name)) or not 1 <= getattr(self, name) <= 8192:
                raise ValueError(
                    message("an image size of 1 to 8192 pixels a side", "correct it", **{name: getattr(self, name)})
                )
        if self.resize not in RESIZE:
            raise ValueError(message(f"a way to resize among {list(RESIZE)}", "choose one", resize=self.resize))
        if self.channels not in (1, 3):
            raise ValueError(message("3 channels (RGB) or 1 (grey)", "choose one", channels=self.channels))
        if not _is_whole(self.background) or not 0 <= self.background <= 255:
            raise ValueError(message("a grey level from 0 to 255", "correct it", background=self.background))

    @classmethod
    def of(cls, size: Any, **arguments: Any) -> "ImageFormat":
        """From one side, `(height, width)` or a format.

        Example:
            >>> ImageFormat.of(64) == ImageFormat.of((64, 64))
            True
        """
        if isinstance(size, ImageFormat):
            return size
        height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
        return cls(height, width, **arguments)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        return self.height, self.width, self.channels

    def describe(self) -> dict[str, Any]:
        """What the manifest keeps, see `from_description`."""
        size = {"height": self.height, "width": self.width, "channels": self.channels}
        return {**size, "resize": self.resize, "background": self.background}

    @classmethod
    def from_description(cls, described: Mapping[str, Any]) -> "ImageFormat":
        """The format from what `describe` gave.

        Raises:
            ValueError: Something is missing, unknown or out of range.
        """
        try:
            return cls(**described)
        except TypeError as error:
            raise ValueError(message("a complete image format", "export again", image=dict(described))) from error

    def layout(self, height: int, width: int) -> tuple[int, int]:
        """The size to which an image of this size is scaled, before it is cut or padded.

        Example:
            >>> ImageFormat(50, 100, "fill").layout(200, 100), ImageFormat(50, 100, "pad").layout(200, 100)
            ((200, 100), (50, 25))
        """
        if self.resize == "fit":
            return self.height, self.width
        choose = max if self.resize == "fill" else min
        factor = choose(self.height / height, self.width / width)
        # half a pixel up, as the graph does it; never to nothing
        sides = (max(1, math.floor(side * factor + 0.5)) for side in (height, width))
        return tuple(sides)  # type: ignore[return-value]

    def read(self, source: str | PathLike[str] | bytes) -> np.ndarray:
        """An image file, or its bytes, as uint8 [height, width, channels].

        Raises:
            UnreadableImage: It cannot be read.
        """
        return self.resized(read_pixels(source, self.channels, self.background))

    def prepared(self, value: Any) -> Any:
        """What a caller gives as the input of a model: files and pixels of any size brought into this format.

        Args:
            value: A path or the bytes of a file, pixels uint8 [H, W], [H, W, 1] (grey) or [H, W, 3] (RGB), or several
                of either, in a list or as pixels [B, H, W, 1 or 3]. Anything else is returned as it is.

        Returns:
            uint8 [height, width, channels], or [B, height, width, channels] for several.

        Raises:
            UnreadableImage: A file cannot be read.
        """
        several = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 4)
        examples = list(value) if several else [value]
        if not examples or not all(map(_is_image, examples)):
            return value
        made = [self.of_pixels(one) if isinstance(one, np.ndarray) else self.read(one) for one in examples]
        return np.stack(made) if several else made[0]

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [H, W], [H, W, 1] or [H, W, 3] of any size as uint8 [height, width, channels]."""
        if pixels.shape == self.shape:
            return pixels
        flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        coloured = np.asarray(Image.fromarray(flat).convert("L" if self.channels == 1 else "RGB"))
        return self.resized(coloured.reshape(*pixels.shape[:2], self.channels))

    def resized(self, pixels: np.ndarray) -> np.ndarray:
        """An image uint8 [H, W, channels] of any size as uint8 [height, width, channels]."""
        height, width = self.layout(*pixels.shape[:2])
        flat = pixels[:, :, 0] if self.channels == 1 else pixels
        scaled = np.asarray(Image.fromarray(flat).resize((width, height), Image.Resampling.BILINEAR))
        scaled = scaled.reshape(height, width, self.channels)
        top, left = max(0, (height - self.height) // 2), max(0, (width - self.width) // 2)
        cut = scaled[top : top + self.height, left : left + self.width]
        above, before = (self.height - cut.shape[0]) // 2, (self.width - cut.shape[1]) // 2
        whole = np.full(self.shape, self.background, np.uint8)
        whole[above : above + cut.shape[0], before : before + cut.shape[1]] = cut
        return whole


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file say.

    Attributes:
        format: `"JPEG"`, `"PNG"`, `"BMP"`, `"GIF"` or `"WEBP"`.
        height, width: Size in pixels as stored, before it is turned.
        orientation: EXIF orientation, 1 (upright) to 8.
        plain: Whether TensorFlow's decoders give what a person sees, but for the orientation.
    """

    format: str
    height: int
    width: int
    orientation: int
    plain: bool


def read_header(source: str | PathLike[str] | bytes, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of an image file or of its bytes; pixels are not decoded.

    Raises:
        UnreadableImage: It is no image of a known format, or has more than `max_pixels` pixels.
    """
    with _open(source, max_pixels) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        # colours that are not opaque, palettes of BMP, CMYK and animations are left to Pillow
        opaque = image.mode in ("1", "L", "P", "RGB", "I;16", "I") and "transparency" not in image.info
        still = kind == "PNG" and opaque and getattr(image, "n_frames", 1) == 1
        plain = still or (kind == "JPEG" and image.mode in ("L", "RGB"))
        return ImageHeader(kind, image.height, image.width, _orientation(image, kind), plain)


def read_pixels(
    source: str | PathLike[str] | bytes, channels: int = 3, background: int = 255, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """An image file or its bytes as a person sees it, uint8 [H, W, channels].

    Raises:
        UnreadableImage: It is no image of a known format, too large, cut off or damaged.
    """
    with _open(source, max_pixels) as image:
        try:
            if channels == 1:
                image.draft("L", image.size)  # the brightness that a JPEG stores, not that of rounded colours
            image.load()
            if _orientation(image, str(image.format)) != 1:
                image = ImageOps.exif_transpose(image)
            upright = _eight_bits(image)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                behind = Image.new("RGBA", upright.size, (background, background, background, 255))
                upright = Image.alpha_composite(behind, upright)
            pixels = np.asarray(upright.convert("RGB" if channels == 3 else "L"))
        except Exception as error:  # damage shows as anything from a struct.error to an IndexError
            raise UnreadableImage(
                "an image file that is whole", "replace the file", **_named(source), error=str(error)[:200]
            ) from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _is_image(value: Any) -> bool:
    if not isinstance(value, np.ndarray):
        return isinstance(value, (str, PathLike, bytes))
    shaped = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3))
    return value.dtype == np.uint8 and shaped and value.size > 0


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey, which Pillow would clip."""
    if image.mode in ("I", "I;16", "I;16B"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image


def _open(source: str | PathLike[str] | bytes, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused below, and of odd metadata
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableImage(_SMALL.format(max_pixels), "shrink it", **_named(source), error=str(error)) from error
    except OSError as error:
        known = not isinstance(error, UnidentifiedImageError)
        raise UnreadableImage(
            _expected_of(source), "replace the file", **_named(source), **({"error": str(error)} if known else {})
        ) from error
    except Exception as error:  # a decoder's first look at hostile bytes can raise anything
        raise UnreadableImage(
            _expected_of(source), "replace the file", **_named(source), error=str(error)[:200]
        ) from error
    if image.width * image.height > max_pixels:
        image.close()
        size = (image.width, image.height)
        raise UnreadableImage(_SMALL.format(max_pixels), "shrink it", **_named(source), size=size)
    return image


def _expected_of(source: str | PathLike[str] | bytes) -> str:
    """What a file that cannot be opened as an image should have been, by its first bytes."""
    try:
        if not isinstance(source, bytes):
            with open(source, "rb") as file:
                source = file.read(8)
    except OSError:
        return _KNOWN
    return next((_CUT.format(name) for begin, name in _BEGINS.items() if source.startswith(begin)), _KNOWN)


def _orientation(image: Image.Image, kind: str) -> int:
    if kind not in ("JPEG", "MPO", "PNG", "WEBP"):
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which turn nothing
            value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _named(source: str | PathLike[str] | bytes) -> dict[str, str]:
    return {"content": f"{len(source)} bytes"} if isinstance(source, bytes) else {"file": fspath(source)}


def _is_whole(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) == value
    except TypeError:
        return False

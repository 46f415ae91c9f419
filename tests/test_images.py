"""Image files as a person sees them, and how they are brought to the size of the model."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mtl_keras.images import ImageFormat, UnreadableImage, read_header, read_pixels

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(height=20, width=30):
    """Red top left, green top right, blue bottom left, white bottom right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return Image.fromarray(image)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation):
    """A JPEG that viewers show as `corners`, stored as a camera held in that orientation stores it."""
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = corners() if undo is None else corners().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, "JPEG", quality=95, exif=exif, subsampling=0)


def bomb(side):
    """A PNG of a few bytes that claims to be of `side` x `side` pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


FILES = {
    "JPEG": encoded(corners(), "JPEG", quality=95, subsampling=0),
    "progressive JPEG": encoded(corners(), "JPEG", quality=95, progressive=True, subsampling=0),
    "CMYK JPEG": encoded(corners().convert("CMYK"), "JPEG", quality=95, subsampling=0),
    "PNG": encoded(corners(), "PNG"),
    "palette PNG": encoded(corners().convert("P"), "PNG"),
    "opaque RGBA PNG": encoded(corners().convert("RGBA"), "PNG"),
    "BMP": encoded(corners(), "BMP"),
    "palette BMP": encoded(corners().quantize(4), "BMP"),
    "GIF": encoded(corners().quantize(4), "GIF"),
    "animated GIF": encoded(corners().quantize(4), "GIF", save_all=True, append_images=[Image.new("P", (30, 20))]),
    "WebP": encoded(corners(), "WEBP", lossless=True),
    **{f"JPEG orientation {orientation}": turned(orientation) for orientation in range(1, 9)},
}


@pytest.mark.parametrize("name", FILES)
def test_files_come_out_as_a_person_sees_them(name):
    pixels = read_pixels(FILES[name])
    assert pixels.shape == (20, 30, 3)
    for (y, x), colour in {(4, 6): RED, (4, 24): GREEN, (15, 6): BLUE, (15, 24): WHITE}.items():
        np.testing.assert_allclose(pixels[y, x].astype(int), colour, atol=6)


def test_transparent_parts_show_the_background():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 128))
    for form in ("PNG", "WEBP"):
        pixels = read_pixels(encoded(image, form, **({"lossless": True} if form == "WEBP" else {})), background=255)
        assert pixels[0, 0].tolist() == [255, 0, 0]
        np.testing.assert_allclose(pixels[0, 1], [255, 127, 127], atol=1)
        assert pixels[3, 3].tolist() == [255, 255, 255]
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([*BLUE, *GREEN])
    indexed.putpixel((1, 0), 1)
    assert read_pixels(encoded(indexed, "PNG", transparency=1), background=10).tolist() == [[[0, 0, 255], [10, 10, 10]]]
    assert not read_header(encoded(indexed, "PNG", transparency=1)).plain


def test_grey_in_8_and_16_bits():
    grey = np.array([[0, 100, 255]], np.uint8)
    assert read_pixels(encoded(Image.fromarray(grey), "PNG"), channels=1)[..., 0].tolist() == [[0, 100, 255]]
    assert read_pixels(encoded(Image.fromarray(grey), "PNG"))[0, 1].tolist() == [100, 100, 100]
    deep = Image.fromarray(grey.astype(np.uint16) * 256 + 7)
    assert read_pixels(encoded(deep, "PNG"), channels=1)[..., 0].tolist() == [[0, 100, 255]]


def test_headers_say_how_the_file_is_turned():
    header = read_header(turned(6))
    assert (header.format, header.height, header.width, header.orientation, header.plain) == ("JPEG", 30, 20, 6, True)
    assert [read_header(FILES[name]).plain for name in ("PNG", "opaque RGBA PNG", "GIF", "BMP", "WebP")] == [
        True, False, False, False, False,
    ]  # fmt: skip


def test_fit_scales_both_sides():
    made = ImageFormat(10, 10).resized(np.asarray(corners(20, 40)))
    assert made.shape == (10, 10, 3)
    assert made[2, 2].tolist() == list(RED)
    assert made[8, 8].tolist() == list(WHITE)


def test_fill_cuts_off_what_stands_out_equally():
    wide = np.zeros((10, 30, 1), np.uint8)
    wide[:, 10:20] = 200
    assert (ImageFormat(5, 5, "fill", channels=1).resized(wide)[:, 1:4] == 200).all()
    ramp = np.arange(30, dtype=np.uint8)[None, :, None].repeat(10, axis=0)
    made = ImageFormat(10, 10, "fill", channels=1).resized(ramp)
    assert made[0, :, 0].tolist() == list(range(10, 20))


def test_pad_keeps_everything_and_fills_with_the_background():
    made = ImageFormat(10, 10, "pad", background=7).resized(np.full((20, 40, 3), 200, np.uint8))
    assert (made[:2] == 7).all()
    assert (made[8:] == 7).all()
    assert (made[3:7] == 200).all()


def test_an_image_much_longer_than_wide_leaves_something():
    line = np.full((1, 4000, 3), 50, np.uint8)
    assert (ImageFormat(8, 8, "pad", background=0).resized(line) == 50).sum() == 8 * 3
    assert ImageFormat(8, 8, "fill").resized(line).shape == (8, 8, 3)


def test_the_format_survives_the_manifest():
    made = ImageFormat(32, 48, "pad", channels=1, background=0)
    assert ImageFormat.from_description(made.describe()) == made
    with pytest.raises(ValueError, match="Expected a complete image format"):
        ImageFormat.from_description({"height": 3})


def test_prepared_takes_files_bytes_and_pixels_of_any_size(tmp_path):
    made = ImageFormat(6, 9)
    path = tmp_path / "a.png"
    path.write_bytes(FILES["PNG"])
    whole = made.read(path)
    np.testing.assert_array_equal(made.prepared(FILES["PNG"]), whole)
    np.testing.assert_array_equal(made.prepared([path, str(path)]), [whole, whole])
    np.testing.assert_array_equal(made.prepared(np.asarray(corners())), whole)
    np.testing.assert_array_equal(made.prepared(np.asarray(corners())[None]), whole[None])
    np.testing.assert_array_equal(made.prepared(whole), whole)
    ready = np.zeros((6, 9, 3), "float32")
    assert made.prepared(ready) is ready


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an image file (JPEG, PNG, BMP, GIF or WebP)"),
        (b"this is text", "an image file (JPEG, PNG, BMP, GIF or WebP)"),
        (FILES["JPEG"][:-40], "an image file that is whole"),
        (FILES["JPEG"][:60], "a JPEG file whose header is whole, not cut off or damaged"),
        (FILES["PNG"][:20], "a PNG file whose header is whole, not cut off or damaged"),
        (FILES["PNG"][:-40], "an image file that is whole"),
        (FILES["GIF"][:40], "an image file that is whole"),
        (bomb(8_000), "an image of at most 50,000,000 pixels"),
        (bomb(60_000), "an image of at most 50,000,000 pixels"),
        (encoded(corners(), "TIFF"), "an image file (JPEG, PNG, BMP, GIF or WebP)"),
    ],
    ids=[
        "empty",
        "text",
        "cut JPEG",
        "JPEG cut early",
        "PNG cut early",
        "cut PNG",
        "cut GIF",
        "bomb",
        "larger bomb",
        "another format",
    ],
)
def test_what_is_no_image_is_refused_by_name(content, expected, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as error:
        read_pixels(path)
    assert error.value.expected == expected
    assert str(error.value).startswith(f"Expected {expected}. Received: file={str(path)!r}")


@pytest.mark.parametrize("arguments", [{"height": 0}, {"resize": "squeeze"}, {"channels": 4}, {"background": 300}])
def test_formats_out_of_range(arguments):
    with pytest.raises(ValueError, match="Expected "):
        ImageFormat(**{"height": 8, "width": 8, **arguments})

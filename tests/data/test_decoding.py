"""Decoding in a graph gives what `images` gives, for every kind of file, orientation and way to resize."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.cbook import get_sample_data
from PIL import Image
from test_images import FILES, corners, encoded, turned

from mtl_keras.data.decoding import BY_PILLOW, JPEG, PNG, ImageDecoder
from mtl_keras.images import RESIZE, ImageFormat, read_header


@pytest.mark.parametrize("resize", RESIZE)
def test_the_graph_says_what_pillow_says(resize):
    made = ImageFormat(16, 12, resize)
    decoder = ImageDecoder(made)
    names = list(FILES)
    plans = decoder.plans([read_header(FILES[name]) for name in names])
    dataset = tf.data.Dataset.from_tensor_slices(([FILES[name] for name in names], plans)).map(decoder)
    for name, image in zip(names, dataset, strict=True):
        # one grey level of rounding
        np.testing.assert_allclose(image.numpy().astype(int), made.read(FILES[name]).astype(int), atol=1, err_msg=name)


def test_grey_images():
    made = ImageFormat(8, 8, channels=1)
    decoder = ImageDecoder(made)
    for name, content in FILES.items():
        plan = decoder.plans([read_header(content)])[0]
        np.testing.assert_allclose(
            decoder(content, plan).numpy().astype(int), made.read(content).astype(int), atol=1, err_msg=name
        )


def test_every_file_is_read_by_the_fastest_decoder_that_shows_it_right():
    decoder = ImageDecoder(ImageFormat(4, 4))
    photo = encoded(corners(400, 300), "JPEG")
    headers = [read_header(content) for content in (FILES["PNG"], FILES["GIF"], FILES["opaque RGBA PNG"], photo)]
    assert decoder.plans([*headers, None]).tolist() == [
        [PNG, 1],
        [BY_PILLOW, 1],
        [BY_PILLOW, 1],
        [JPEG + 3, 1],
        [BY_PILLOW, 1],
    ]


def test_large_photos_are_decoded_at_a_fraction_of_their_size_and_look_the_same():
    y, x = np.mgrid[:240, :320] / 40
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], axis=-1) * 90 + 128
    photo = encoded(Image.fromarray(waves.astype(np.uint8)), "JPEG", quality=95)
    decoder = ImageDecoder(ImageFormat(30, 40))
    assert decoder.plans([read_header(photo)]).tolist() == [[JPEG + 1, 1]]
    whole, part = (decoder(photo, [plan, 1]).numpy().astype(int) for plan in (JPEG, JPEG + 1))
    assert np.abs(whole - part).max() <= 3


@pytest.mark.parametrize(("height", "width", "fraction"), [(200, 170, 1), (60, 51, 2), (30, 25, 3)])
def test_a_real_photo_at_a_fraction_differs_by_less_than_a_grey_level(height, width, fraction):
    """600x512: the largest sizes for which a half, a quarter and an eighth are enough."""
    photo = Path(get_sample_data("grace_hopper.jpg", asfileobj=False)).read_bytes()
    decoder = ImageDecoder(ImageFormat(height, width))
    assert decoder.plans([read_header(photo)]).tolist() == [[JPEG + fraction, 1]]
    whole, part = (decoder(photo, [plan, 1]).numpy().astype(int) for plan in (JPEG, JPEG + fraction))
    assert 0 < np.abs(whole - part).mean() < 1
    larger = ImageDecoder(ImageFormat(height + 1, width))
    assert larger.plans([read_header(photo)]).tolist() == [[JPEG + fraction - 1, 1]]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_of_tensorflow_in_any_size(channels):
    rng = np.random.default_rng(channels)
    for _ in range(20):
        (height, width), size = rng.integers(1, 100, 2), tf.constant(rng.integers(1, 100, 2), tf.int32)
        pixels = tf.constant(rng.integers(0, 256, (height, width, channels), np.uint8))
        whole = tf.saturate_cast(tf.round(tf.image.resize(pixels, size, antialias=True)), tf.uint8)
        photo = tf.io.encode_png(pixels)
        made = ImageDecoder(ImageFormat(*size.numpy().tolist(), channels=channels))
        np.testing.assert_array_equal(made(photo, [PNG, 1]), whole)


def test_the_fraction_goes_by_the_upright_size():
    # 20x30 upright, whose half is 10x15: enough for 6x10, not for 10x6; stored, it is 30x20
    for size, plan in (((6, 10), JPEG + 1), ((10, 6), JPEG)):
        decoder = ImageDecoder(ImageFormat(*size))
        assert decoder.plans([read_header(turned(6))]).tolist() == [[plan, 6]]

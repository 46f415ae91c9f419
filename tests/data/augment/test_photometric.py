"""Colour and noise."""

import numpy as np
import pytest
import tensorflow as tf
from scenes import seeds

from mtl_keras.data.augment import Chain, Colour, Noise


def recoloured(colour, image, number):
    """One image [H, W, C] under the largest (1), smallest (0) or no (0.5) change of each kind."""
    return colour.apply(tf.constant(image, tf.float32)[None], tf.constant([number], tf.float32), None)[0].numpy()


IMAGE = np.array([[[0.2, 0.4, 0.6], [0.8, 0.4, 0.2]]], np.float32)
# grey of the mean colour (0.5, 0.4, 0.4)
GREY = 0.299 * 0.5 + 0.587 * 0.4 + 0.114 * 0.4


def test_nothing_drawn_changes_nothing():
    np.testing.assert_allclose(recoloured(Colour(1, 1, 1, 0.5), IMAGE, [0.5] * 4), IMAGE, atol=1e-6)


def test_brightness_adds_and_contrast_spreads_about_grey():
    np.testing.assert_allclose(recoloured(Colour(0.3), IMAGE, [1, 0.5, 0.5, 0.5]), IMAGE + 0.3, atol=1e-6)
    spread = recoloured(Colour(contrast=0.5), IMAGE, [0.5, 1, 0.5, 0.5])
    np.testing.assert_allclose(spread, GREY + 1.5 * (IMAGE - GREY), atol=1e-6)
    flat = recoloured(Colour(contrast=1.0), IMAGE, [0.5, 0, 0.5, 0.5])
    np.testing.assert_allclose(flat, np.full_like(IMAGE, GREY), atol=1e-6)


def test_saturation_and_hue_keep_the_grey_of_every_pixel():
    grey = IMAGE @ [0.299, 0.587, 0.114]
    pale = recoloured(Colour(saturation=1.0), IMAGE, [0.5, 0.5, 0, 0.5])
    np.testing.assert_allclose(pale, np.repeat(grey[..., None], 3, -1), atol=1e-6)
    strong = recoloured(Colour(saturation=0.5), IMAGE, [0.5, 0.5, 1, 0.5])
    np.testing.assert_allclose(strong, grey[..., None] + 1.5 * (IMAGE - grey[..., None]), atol=1e-6)
    turned = recoloured(Colour(hue=0.5), IMAGE, [0.5, 0.5, 0.5, 1])  # half the circle: the opposite colour
    np.testing.assert_allclose(turned, 2 * grey[..., None] - IMAGE, atol=1e-6)
    third = recoloured(Colour(hue=1 / 3), IMAGE, [0.5, 0.5, 0.5, 1])
    np.testing.assert_allclose(third @ [0.299, 0.587, 0.114], grey, atol=1e-6)
    assert np.abs(third - IMAGE).max() > 0.1


def test_one_channel_knows_brightness_and_contrast_only():
    image = np.array([[[0.2], [0.6]]], np.float32)
    changed = recoloured(Colour(0.1, 0.5, 1.0, 0.5), image, [1, 1, 1, 1])
    np.testing.assert_allclose(changed, 0.4 + 1.5 * (image - 0.4) + 0.1, atol=1e-6)


def test_values_stay_in_their_range_and_dtype():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 6, 6, 3))
    chain = [Colour(1.0, 1.0), Noise(0.5)]
    whole = Chain(chain)(seeds(), {"image": tf.constant(pixels, tf.uint8)}, {}, {})[0]["image"]
    assert whole.dtype == tf.uint8
    scaled = tf.constant(pixels / 127.5 - 1.0, tf.float32)
    signed = Chain(chain, value_range=(-1, 1))(seeds(), {"image": scaled}, {}, {})[0]["image"].numpy()
    assert signed.min() == -1.0
    assert signed.max() == 1.0
    np.testing.assert_allclose((signed + 1.0) * 127.5, whole, atol=0.51)  # the same picture, but for rounding


def test_noise_has_the_strength_that_was_drawn():
    images = tf.zeros([1, 200, 200, 1])
    noise = Noise(0.1).apply(images, tf.constant([[0.5]]), seeds(1))
    assert float(tf.math.reduce_std(noise)) == pytest.approx(0.05, rel=0.02)
    assert abs(float(tf.reduce_mean(noise))) < 0.001

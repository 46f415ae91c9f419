"""What happens to an example follows from its seed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scenes import scene, seeds

from mtl_keras.data.augment import Chain, Colour, Crop, Flip, KerasLayer, Noise, Rotate, Shift, Zoom

EVERYTHING = [
    Flip(0.5, 0.5),
    Rotate(20),
    Zoom(),
    Shift(),
    Crop(40, 56),
    Colour(),
    Noise(0.1),
    KerasLayer(keras.layers.RandomGaussianBlur()),
]


@pytest.fixture(scope="module")
def chain():
    return tf.function(Chain(EVERYTHING, masks=["mask"], boxes=["boxes"]), reduce_retracing=True)


@pytest.fixture(scope="module")
def whole(chain):
    return chain(seeds(12), *scene(12))


def test_batch_size_and_neighbours_change_nothing(chain, whole):
    for first, size in ((0, 4), (4, 8)):
        part = chain(seeds(size, first=first), *scene(size))
        tf.nest.map_structure(
            lambda one, all_, first=first, size=size: np.testing.assert_allclose(
                one, all_[first : first + size], atol=1
            ),
            part,
            whole,
        )
    order = np.random.default_rng(0).permutation(12)
    shuffled = chain(tf.gather(seeds(12), order), *scene(12))
    np.testing.assert_array_equal(shuffled[0]["image"], tf.gather(whole[0]["image"], order))


def test_the_same_again_and_other_in_another_epoch(chain, whole):
    again, other = chain(seeds(12), *scene(12)), chain(seeds(12, key=4), *scene(12))
    tf.nest.map_structure(np.testing.assert_array_equal, again, whole)
    for index in range(12):
        assert (other[0]["image"][index].numpy() != whole[0]["image"][index].numpy()).any()
    first = whole[0]["image"].numpy().reshape(12, -1)
    assert len(np.unique(first, axis=0)) == 12  # every example its own


def test_a_new_process_gives_the_same_pictures():
    """Golden values: a change of these changes every run that is resumed."""
    x = {"image": tf.reshape(tf.cast(tf.range(2 * 5 * 5) * 5, tf.uint8), [2, 5, 5, 1])}
    image = Chain([Flip(0.5, 0.5), Colour()])(seeds(2, key=11), x, {}, {})[0]["image"]
    golden = [[153, 159, 165, 171, 177], [222, 217, 211, 206, 201]]
    np.testing.assert_allclose(image[:, 0, :, 0], golden, atol=1)  # rounding differs between processors


def test_noise_and_blends_of_two_steps_differ():
    x = {"image": tf.fill([1, 16, 16, 1], 0.5)}
    chain = Chain([Noise(1.0), Noise(1.0)], value_range=(-100.0, 100.0))
    both = chain(seeds(1), x, {}, {})[0]["image"] - 0.5
    single = Chain([Noise(1.0)], value_range=(-100.0, 100.0))(seeds(1), x, {}, {})[0]["image"] - 0.5
    correlation = np.corrcoef(np.ravel(both), np.ravel(single))[0, 1]
    assert abs(correlation) < 0.99


def test_layers_that_draw_by_themselves_are_refused():
    """Guards how Keras' layers take their numbers: from the seed generator they are handed, or from their own."""
    x, _, _ = scene(2)
    for layer in (keras.layers.RandomColorJitter(brightness_factor=0.2), keras.layers.RandAugment()):
        with pytest.raises(ValueError, match="Expected") as caught:
            Chain([KerasLayer(layer)])(seeds(2), x, {}, {})
        assert str(caught.value) == (
            "Expected a Keras layer whose random numbers can be seeded per example. "
            f"Received: layer='{type(layer).__name__}'. "
            "Do use its parts, e.g. RandomBrightness and RandomContrast, or mtl_keras.data.augment.Colour."
        )
    with pytest.raises(ValueError, match="an image augmentation layer of Keras"):
        KerasLayer(keras.layers.Dense(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.RandomBrightness(0.3),
        lambda: keras.layers.RandomContrast(0.3),
        lambda: keras.layers.RandomHue(0.2),
        lambda: keras.layers.RandomErasing(),
        lambda: keras.layers.RandomPerspective(0.5, scale=0.5),
        lambda: keras.layers.RandomPosterization(3),
    ],
)
def test_keras_layers_are_seeded_per_example(make):
    chain = tf.function(Chain([KerasLayer(make())]), reduce_retracing=True)
    x = {"image": tf.cast(tf.random.stateless_uniform([6, 12, 12, 3], [1, 2], maxval=255), tf.uint8)}
    whole = chain(seeds(6), x, {}, {})[0]["image"]
    part = chain(seeds(2, first=3), {"image": x["image"][3:5]}, {}, {})[0]["image"]
    np.testing.assert_array_equal(part, whole[3:5])
    assert (whole.numpy() != x["image"].numpy()).any()

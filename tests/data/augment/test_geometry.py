"""What moves pixels moves image, masks and boxes together."""

import numpy as np
import pytest
import tensorflow as tf
from scenes import BOX, HEIGHT, WIDTH, extent, scene, seeds

from mtl_keras.data.augment import Chain, Colour, Crop, Flip, KerasLayer, ResizedCrop, Rotate, Shift, Zoom
from mtl_keras.data.augment.affine import about_centre, matrices, move_boxes
from mtl_keras.data.augment.base import Size

MOVES = {
    "flip": [Flip(0.5, 0.5)],
    "crop": [Crop(32, 40)],
    "shift": [Shift(0.2, 0.2)],
    "zoom": [Zoom(0.7, 1.4, stretch=0.2)],
    "resized crop": [ResizedCrop(0.3)],
    "rotate": [Rotate(30)],
    "all": [Flip(0.5, 0.5), Rotate(20), Zoom(0.8, 1.3), Shift(0.1, 0.1), Crop(40, 56)],
    "with colour between": [Rotate(20), Colour(0.05, 0.05), Shift(0.1, 0.1)],
}


def augmented(chain, x, y, w, key=3):
    """The augmented batch as arrays."""
    return tf.nest.map_structure(lambda t: t.numpy(), tf.function(chain)(seeds(len(x["image"]), key), x, y, w))


@pytest.mark.parametrize("name", MOVES)
def test_mask_and_box_stay_on_the_object(name):
    chain = Chain(MOVES[name], masks=["mask"], boxes=["boxes"])
    x, y, w = augmented(chain, *scene(24))
    size = np.array(x["image"].shape[1:3] * 2)
    moved = 0
    for image, mask, boxes, seen in zip(x["image"], y["mask"], y["boxes"], w["boxes"], strict=True):
        bright = image.mean(-1) > 120
        assert (bright != (mask == 2)).mean() < 0.02  # they differ in rounded edge pixels at most
        assert seen[1] == 0.0  # padding stays padding
        assert not boxes[1].any()
        if seen[0]:
            found = extent(bright)
            assert np.abs(boxes[0] * size - found).max() <= 2.1
            moved += not np.array_equal(found, BOX)
        else:
            assert not boxes[0].any()
    assert moved > 8


def test_a_box_out_of_sight_is_dropped():
    box = np.array([[[0.0, 0.0, 0.2, 0.2]]], np.float32)
    chain = Chain([Shift(1.0, 1.0)], boxes=["boxes"], visible=0.5)
    x, _, _ = scene(64)
    _, y, w = augmented(chain, x, {"boxes": np.repeat(box, 64, 0)}, {})
    kept = w["boxes"][:, 0] == 1
    assert 0 < kept.sum() < 64
    assert not y["boxes"][~kept].any()
    area = np.prod(y["boxes"][kept, 0, 2:] - y["boxes"][kept, 0, :2], axis=-1)
    assert (area >= 0.5 * 0.04 - 1e-6).all()
    assert y["boxes"].min() >= 0.0
    assert y["boxes"].max() <= 1.0


def test_what_comes_from_outside_the_image_has_no_label():
    x, y, w = augmented(Chain([Shift(0.5, 0.0)], masks=["mask"]), *scene())
    outside = x["image"].max(-1) < 10  # filled with 0, where the picture is 20 and brighter
    assert outside.any()
    assert w["mask"].shape == y["mask"].shape
    difference = (w["mask"] == 0) != outside
    assert difference.sum(axis=2).max() <= 1  # where the last pixel is half filled
    x, y, w = augmented(Chain([Shift(0.5, 0.0)], masks=["mask"], fill="reflect"), *scene())
    assert x["image"].min() == 20
    assert w["mask"].min() == 1


def test_flips_and_crops_are_exact_whatever_the_dtype():
    rng = np.random.default_rng(0)
    x = {"image": rng.integers(0, 256, (16, 9, 7, 3)).astype(np.uint8)}
    flipped = augmented(Chain([Flip(1.0, 0.0)]), x, {}, {})[0]["image"]
    assert flipped.dtype == np.uint8
    np.testing.assert_array_equal(flipped, x["image"][:, :, ::-1])
    np.testing.assert_array_equal(augmented(Chain([Flip(0.0, 1.0)]), x, {}, {})[0]["image"], x["image"][:, ::-1])
    both = augmented(Chain([Flip(1.0, 1.0), Crop(9, 7)]), x, {}, {})[0]["image"]
    np.testing.assert_array_equal(both, x["image"][:, ::-1, ::-1])
    parts = augmented(Chain([Crop(4, 3)]), x, {}, {})[0]["image"]
    places = set()
    for image, part in zip(x["image"], parts, strict=True):
        found = [
            (i, j) for i in range(6) for j in range(5) if np.array_equal(image[i : i + 4, j : j + 3], part)
        ]  # fmt: skip
        assert len(found) == 1
        places.update(found)
    assert len(places) > 6


def test_a_flip_leaves_about_half_alone_and_chances_are_kept_apart():
    x = {"image": np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1).repeat(400, 0)}
    y = augmented(Chain([Flip(0.5, 0.25)]), x, {}, {})[0]["image"][..., 0]
    across, down = y[:, 0, 0] % 4 == 3, y[:, 0, 0] >= 8
    assert abs(across.mean() - 0.5) < 0.08
    assert abs(down.mean() - 0.25) < 0.08
    assert abs((across & down).mean() - 0.125) < 0.06  # independent


def test_a_quarter_turn_by_hand():
    """cos = 0, sin = 1: the output at (x, y) comes from (c_x - (y - c_y), c_y + (x - c_x)), with the centre c."""
    size = Size(2, 2)
    zero, one = tf.zeros([1]), tf.ones([1])
    turn = about_centre(matrices([[zero, -one, zero], [one, zero, zero]]), size)
    np.testing.assert_allclose(turn[0].numpy() @ [0.0, 0.0, 1.0], [2.0, 0.0, 1.0], atol=1e-6)
    # the top left quarter goes where its source is: (0..1, 0..1) is taken from x in 1..2, y in 0..1
    boxes, inside = move_boxes(tf.constant([[[1.0, 0.0, 2.0, 1.0]]]), turn, size)
    np.testing.assert_allclose(boxes[0, 0], [0.0, 0.0, 1.0, 1.0], atol=1e-6)
    assert float(inside[0, 0]) == pytest.approx(1.0)


def test_angles_and_factors_fill_their_range():
    numbers = tf.linspace(0.0, 0.999999, 101)[:, None]
    size = Size(10, 10)
    matrix, _ = Rotate(40).matrix(numbers, size)
    matrix = matrix.numpy()
    angles = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert angles.min() == pytest.approx(-40, abs=0.01)
    assert angles.max() == pytest.approx(40, abs=0.01)
    matrix, _ = Zoom(0.5, 2.0).matrix(tf.repeat(numbers, 2, axis=1), size)
    matrix = matrix.numpy()
    factors = 1.0 / matrix[:, 0, 0]
    assert factors[0] == pytest.approx(0.5)
    assert factors[50] == pytest.approx(1.0, abs=1e-4)  # halving is as likely as doubling
    assert factors[-1] == pytest.approx(2.0, abs=1e-4)
    np.testing.assert_allclose(matrix[:, 0, 0], matrix[:, 1, 1])
    centre = matrix @ [5.0, 5.0, 1.0]
    np.testing.assert_allclose(centre, np.broadcast_to([5.0, 5.0, 1.0], (101, 3)), atol=1e-5)


def test_a_resized_crop_stays_inside_and_fills_its_range():
    numbers = tf.random.stateless_uniform([2000, 4], [1, 2])
    matrix, size = ResizedCrop(0.25, stretch=0.5).matrix(numbers, Size(40, 80))
    assert size == Size(40, 80)
    corners = np.stack([matrix.numpy() @ corner for corner in ([0.0, 0.0, 1.0], [80.0, 40.0, 1.0])])
    assert corners[0].min() >= 0.0
    assert (corners[1] <= [80.001, 40.001, 1.0]).all()
    width, height = matrix[:, 0, 0].numpy(), matrix[:, 1, 1].numpy()
    area, ratio = width * height, width / height
    assert area.min() == pytest.approx(0.25, abs=0.01)
    assert area.mean() == pytest.approx(0.625, abs=0.02)
    assert 1 / 1.5 - 1e-5 <= ratio.min() < 0.7
    assert 1.4 < ratio.max() <= 1.5 + 1e-5


def test_moves_side_by_side_are_one_interpolation():
    """There and back again: two interpolations would blur the edges, one leaves them alone."""

    class Turn(Rotate):
        def matrix(self, numbers, size):
            return super().matrix(tf.ones_like(numbers), size)

    there, back = Turn(30), Turn(30)
    object.__setattr__(back, "degrees", -30.0)
    x, _, _ = scene(2)
    kept = augmented(Chain([there, back]), x, {}, {})[0]["image"]
    inside = np.s_[:, 10:-10, 16:-16]
    assert np.abs(kept[inside].astype(int) - x["image"].numpy()[inside].astype(int)).max() <= 1


BAD = {
    "fill": (
        {"steps": [Rotate(5)], "boxes": ["boxes"], "fill": "reflect"},
        "Expected fill='constant' with boxes (reflected objects would have none). Received: fill='reflect'. "
        "Do leave it out.",
    ),
    "unknown fill": (
        {"steps": [Rotate(5)], "fill": "wrap"},
        "Expected fill among ['constant', 'reflect', 'nearest']. Received: fill='wrap'. Do choose one.",
    ),
    "no augmentation": (
        {"steps": ["flip"]},
        "Expected augmentations. Received: step='flip'. Do take them from mtl_keras.data.augment, e.g. [Flip()].",
    ),
    "range": (
        {"steps": [Flip()], "value_range": (1, 0)},
        "Expected a smallest and a larger value. Received: value_range=(1, 0). Do pass value_range=(0, 1).",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_chain_that_cannot_work_says_so(case):
    arguments, expected = BAD[case]
    with pytest.raises(ValueError, match="Expected") as caught:
        Chain(**arguments)
    assert str(caught.value) == expected


def test_settings_out_of_range_are_named():
    for make, expected in (
        (lambda: Flip(1.5), "horizontal of Flip from 0 to 1. Received: horizontal=1.5. Do correct it."),
        (lambda: Rotate(-1), "degrees of Rotate from 0 to 180. Received: degrees=-1. Do correct it."),
        (lambda: Shift(vertical=2), "vertical of Shift from 0 to 1. Received: vertical=2. Do correct it."),
        (lambda: Zoom(0), "smallest of Zoom from 0.01 to 100. Received: smallest=0. Do correct it."),
        (
            lambda: Zoom(1.2, 1.1),
            "smallest not above largest in Zoom. Received: smallest=1.2, largest=1.1. Do swap them.",
        ),
        (lambda: Crop(0), "height of Crop in whole pixels. Received: height=0. Do pass height=56."),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            make()
        assert str(caught.value) == f"Expected {expected}"


def test_batches_that_do_not_fit_are_named():
    x, y, _ = scene(2)
    for arguments, batch, expected in (
        (
            {"steps": [Crop(60)]},
            (x, {}, {}),
            "Expected images of at least 60x60 pixels for Crop. Received: images='48x64'. "
            "Do crop less, or read larger images.",
        ),
        (
            {"steps": [Flip()], "masks": ["mask"]},
            (x, {"mask": y["mask"][:, ::2]}, {}),
            "Expected masks of task 'mask' at the size of the images, 48x64. Received: shape=(2, 24, 64). "
            "Do resize both alike.",
        ),
        (
            {"steps": [Flip()], "boxes": ["mask"]},
            (x, y, {}),
            "Expected boxes [B, N, 4] of task 'mask'. Received: shape=(2, 48, 64). Do correct boxes=[...].",
        ),
        (
            {"steps": [Flip()]},
            ({"left": x["image"], "right": x["image"]}, {}, {}),
            "Expected the name of the image among the inputs ['left', 'right']. Received: image=None. "
            "Do pass image=....",
        ),
        (
            {"steps": [Colour()]},
            ({"image": tf.zeros([2, 4, 4, 3])}, {}, {}),
            "Expected the smallest and largest value of a pixel, for images that are not uint8. "
            "Received: dtype='float32'. Do pass value_range=(0, 1), or what it is.",
        ),
        (
            {"steps": [Colour()]},
            ({"image": tf.zeros([2, 4, 4, 2], tf.uint8)}, {}, {}),
            "Expected images of 1 or 3 channels for Colour. Received: channels=2. Do leave it out.",
        ),
    ):
        with pytest.raises(ValueError, match="Expected") as caught:
            Chain(**arguments)(seeds(2), *batch)
        assert str(caught.value) == expected


def test_masks_and_boxes_of_other_shapes():
    """Masks with a channel, of small integers, weights per pixel, boxes in pixels."""
    x, y, w = scene(8)
    mask = tf.cast(y["mask"][..., None], tf.int8)
    pixels = tf.constant([[[BOX[1], BOX[0], BOX[3], BOX[2]]]] * 8, tf.float32)
    weights = {"mask": tf.cast(mask[..., 0] == 2, tf.float32)}
    chain = Chain([Flip(0.5, 0.5), Rotate(10)], masks=["mask"], boxes=["boxes"], box_format="xyxy")
    _, y, w = augmented(chain, x, {"mask": mask, "boxes": pixels}, weights)
    assert y["mask"].dtype == np.int8
    assert y["mask"].shape == (8, HEIGHT, WIDTH, 1)
    np.testing.assert_array_equal(w["mask"] == 1, y["mask"][..., 0] == 2)
    for box, mask in zip(y["boxes"], y["mask"][..., 0], strict=True):
        top, left, bottom, right = extent(mask == 2)
        assert np.abs(box[0] - [left, top, right, bottom]).max() <= 2.1


def test_keras_layers_move_masks_and_refuse_boxes():
    import keras

    shear = KerasLayer(keras.layers.RandomShear(0.4, 0.4, fill_mode="constant"))
    x, y, w = augmented(Chain([shear], masks=["mask"]), *scene())
    bright = x["image"].mean(-1) > 120
    assert (bright != (y["mask"] == 2)).mean() < 0.02
    assert (w["mask"][x["image"].max(-1) == 0] == 0).mean() > 0.9
    with pytest.raises(ValueError, match="layers that leave pixels in place, for tasks with boxes"):
        augmented(Chain([shear], boxes=["boxes"]), *scene())
    blur = KerasLayer(keras.layers.RandomGaussianBlur(kernel_size=5, sigma=1.0))
    x, y, w = augmented(Chain([blur], boxes=["boxes"]), *scene())
    np.testing.assert_array_equal(y["boxes"], scene()[1]["boxes"])
    assert (x["image"] != scene()[0]["image"].numpy()).any()

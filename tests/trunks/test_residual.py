"""The residual trunk: published size, shapes per stage, the shortcut, arguments that cannot be."""

import keras
import numpy as np
import pytest

from mtl_keras import trunks


def test_resnet18_has_its_published_size():
    """11,689,512 parameters in all (torchvision's table for He et al.), less 512·1000 + 1000 of the last layer."""
    x = keras.Input((64, 64, 3))
    model = keras.Model(x, trunks.Residual.resnet18(stem="large")(x))
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trained == 11_689_512 - 513_000
    assert model.output.shape == (None, 512)
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 8


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("small", [(64, 64, 4), (32, 32, 8), (16, 16, 16), (8, 8, 32)]),
        ("large", [(16, 16, 4), (8, 8, 8), (4, 4, 16), (2, 2, 32)]),
    ],
)
def test_every_stage_but_the_first_halves_the_resolution(stem, expected):
    x = keras.Input((64, 64, 3))
    found = []
    for stage in trunks.Residual.resnet18(width=4, stem=stem, output="map").stages():
        x = stage(x)
        found.append(tuple(x.shape)[1:])
    assert found == expected


def test_a_block_without_its_convolutions_is_the_identity():
    """relu(x + 0) = x for x = relu(...) of the stem: what makes the network residual."""
    x = keras.Input((6, 6, 2))
    model = keras.Model(x, trunks.Residual((3,), 2, output="map")(x))
    stem = keras.Model(x, model.get_layer("trunk_stem_relu").output)
    for layer in model.layers:
        if "_block" in layer.name and isinstance(layer, keras.layers.Conv2D):
            assert not layer.use_bias
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    image = np.random.default_rng(0).normal(size=(2, 6, 6, 2))
    assert np.asarray(stem(image)).max() > 0
    np.testing.assert_array_equal(model(image), stem(image))


def test_regularizers_reach_every_kernel():
    """L1 of 0.1: a tenth of the sum of absolute values, of stem, main path and shortcut."""
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, trunks.Residual((2, 3), 1, kernel_regularizer=keras.regularizers.L1(0.1))(x))
    kernels = [v.numpy() for v in model.variables if v.name == "kernel"]
    assert len(model.losses) == len(kernels) == 1 + 2 + 3
    np.testing.assert_allclose(sum(model.losses), 0.1 * sum(np.abs(k).sum() for k in kernels), rtol=1e-5)


def test_outputs():
    x = keras.Input((8, 8, 1))
    found = {end: trunks.Residual((2, 3), 1, output=end)(x, end).shape for end in ("average", "flatten", "map")}
    assert found == {"average": (None, 3), "flatten": (None, 4 * 4 * 3), "map": (None, 4, 4, 3)}
    assert trunks.Residual((2,), 1, dropout=0.5)(x, "dropped").shape == (None, 2)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"filters": ()},
            "Expected whole numbers of at least 1 as filters. Received: filters=(). Do pass e.g. (32, 64).",
        ),
        (
            {"blocks": (2, 2)},
            "Expected one value of blocks per stage. Received: filters=[32, 64, 128], blocks=[2, 2]. "
            "Do pass as many as filters.",
        ),
        ({"stem": "tiny"}, "Expected stem among ['small', 'large']. Received: stem='tiny'. Do choose one."),
        ({"dropout": -0.1}, "Expected dropout of at least 0 and below 1. Received: dropout=-0.1. Do pass e.g. 0.2."),
    ],
)
def test_arguments_that_cannot_be(arguments, text, refused):
    refused(lambda: trunks.Residual(**arguments), text)


def test_images_that_do_not_fit(refused):
    refused(
        lambda: trunks.Residual.resnet18(width=2)(keras.Input((4, 4, 3))),
        "Expected at least 2x2 pixels for stage 4 of trunks.Residual. Received: shape=(None, 1, 1, 8). "
        "Do use larger images, or fewer or smaller stages.",
    )
    refused(
        lambda: trunks.Residual.resnet18(width=0),
        "Expected a whole number of at least 1 as width. Received: width=0. Do pass e.g. 64.",
    )

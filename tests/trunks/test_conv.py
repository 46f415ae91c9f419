"""The convolutional trunk: exact parameters, shapes per stage, regularizers, arguments that cannot be."""

import keras
import numpy as np
import pytest

from mtl_keras import trunks


def shapes(trunk, shape):
    x = keras.Input(shape)
    found = []
    for stage in trunk.stages():
        x = stage(x)
        found.append(tuple(x.shape)[1:])
    return found


def test_the_reference_network_has_its_published_size():
    """Conv 64 3x3, ReLU, Conv 128 3x3, ReLU, average pool 2, flatten, two Dense(n) heads, on 16x16x3.

    3·3·3·64 + 64 = 1,792 and 3·3·64·128 + 128 = 73,856; 16 -> 14 -> 12 -> 6, so 6·6·128 = 4,608 features and
    4,608·n + n a head.
    """
    x = keras.Input((16, 16, 3))
    features = trunks.Conv((64, 128), pool=(1, 2), pooling="average", padding="valid")(x)
    heads = {name: keras.layers.Dense(n, name=name)(features) for name, n in (("a", 10), ("b", 3))}
    model = keras.Model(x, heads)
    kinds = [type(layer).__name__ for layer in model.layers[1:-2]]
    assert kinds == ["Conv2D", "Activation", "Conv2D", "Activation", "AveragePooling2D", "Flatten"]
    assert [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")][:4] == [
        *("linear", "relu", "linear", "relu")
    ]
    counts = {layer.name: layer.count_params() for layer in model.layers if layer.count_params()}
    assert counts == {"trunk_conv1": 1792, "trunk_conv2": 73856, "a": 46090, "b": 13827}


def test_the_reference_network_computes_what_numpy_computes():
    """One 4x4 image, one filter of ones: sums of 3x3 windows, ReLU, their mean."""
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, trunks.Conv((1,), pooling="average", padding="valid")(x))
    model.set_weights([np.ones((3, 3, 1, 1)), np.full(1, -50.0)])
    image = np.arange(16.0).reshape(1, 4, 4, 1)
    # windows around 5, 6, 9, 10 sum to nine times those; less 50: -5, 4, 31, 40; the mean of 0, 4, 31, 40
    np.testing.assert_allclose(model(image), [[18.75]])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [(18, 18, 32), (9 * 9 * 64,)]),
        ({"output": "map"}, [(18, 18, 32), (9, 9, 64)]),
        ({"output": "average"}, [(18, 18, 32), (64,)]),
        ({"dense": 128}, [(18, 18, 32), (128,)]),
        ({"dense": (128, 16)}, [(18, 18, 32), (16,)]),
        ({"pool": 1, "output": "map"}, [(36, 36, 32), (36, 36, 64)]),
        ({"pool": (3, 1), "output": "map"}, [(12, 12, 32), (12, 12, 64)]),
        ({"padding": "valid", "output": "map"}, [(17, 17, 32), (7, 7, 64)]),
        ({"padding": "valid", "kernel_size": (5, 3), "output": "map"}, [(16, 16, 32), (7, 7, 64)]),
    ],
)
def test_shapes_per_stage(arguments, expected):
    assert shapes(trunks.Conv(**arguments), (36, 36, 1)) == expected


def test_batch_norm_stands_between_convolution_and_activation():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, trunks.Conv((4,), batch_norm=True, activation="elu", dropout=0.5, dense=3)(x))
    names = ["conv1", "norm1", "activation1", "pool1", "flatten", "dense1", "dropout1"]
    assert [layer.name for layer in model.layers[1:]] == [f"trunk_{name}" for name in names]
    assert not model.get_layer("trunk_conv1").use_bias
    assert model.get_layer("trunk_activation1").activation is keras.activations.elu
    assert model.get_layer("trunk_dense1").activation is keras.activations.elu


def test_dropout_without_dense_layers_drops_features():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, trunks.Conv((4,), dropout=0.5)(x))
    assert model.layers[-1].name == "trunk_dropout"
    dropped = np.asarray(model(np.ones((64, 8, 8, 3)), training=True) == 0).mean()
    kept = np.asarray(model(np.ones((64, 8, 8, 3)), training=False) == 0).mean()
    assert dropped > kept + 0.1


@pytest.mark.parametrize(
    "regularizer", ["l2", {"class_name": "L2", "config": {"l2": 0.01}}, keras.regularizers.L2(0.01)]
)
def test_regularizers_reach_every_kernel(regularizer):
    """L2 of 0.01 (the default of the name) over the kernels, biases left out."""
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, trunks.Conv((4, 5), dense=(3,), kernel_regularizer=regularizer)(x))
    for v in model.variables:
        v.assign(v + 1.0)  # biases above 0 too
    kernels = [v.numpy() for v in model.variables if v.name == "kernel"]
    assert len(model.losses) == len(kernels) == 3
    np.testing.assert_allclose(sum(model.losses), 0.01 * sum((k**2).sum() for k in kernels), rtol=1e-6)


def test_images_of_any_size_where_features_are_averaged():
    x = keras.Input((None, None, 1))
    model = keras.Model(x, trunks.Conv((4,), output="average")(x))
    assert model(np.ones((1, 8, 10, 1))).shape == model(np.ones((1, 20, 6, 1))).shape == (1, 4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"filters": ()},
            "Expected whole numbers of at least 1 as filters. Received: filters=(). Do pass e.g. (32, 64).",
        ),
        (
            {"filters": (8, -8)},
            "Expected whole numbers of at least 1 as filters. Received: filters=(8, -8). Do pass e.g. (32, 64).",
        ),
        (
            {"filters": (8, 2.5)},
            "Expected whole numbers of at least 1 as filters. Received: filters=(8, 2.5). Do pass e.g. (32, 64).",
        ),
        (
            {"kernel_size": 0},
            "Expected whole numbers of at least 1 as kernel_size. Received: kernel_size=0. "
            "Do pass e.g. 2, or a list with one per stage.",
        ),
        (
            {"filters": (4, 4), "pool": (2,)},
            "Expected one value of pool per stage. Received: filters=[4, 4], pool=[2]. Do pass as many as filters.",
        ),
        (
            {"pooling": "median"},
            "Expected pooling among ['max', 'average']. Received: pooling='median'. Do choose one.",
        ),
        ({"padding": "full"}, "Expected padding among ['same', 'valid']. Received: padding='full'. Do choose one."),
        (
            {"output": "list"},
            "Expected output among ['flatten', 'average', 'map']. Received: output='list'. Do choose one.",
        ),
        (
            {"output": "map", "dense": (3,)},
            "Expected dense layers only behind a vector. Received: output='map', dense=[3]. Do pass output='flatten'.",
        ),
        (
            {"dropout": 1.0},
            "Expected dropout of at least 0 and below 1. Received: dropout=1.0. Do pass e.g. 0.2.",
        ),
        (
            {"activation": "rellu"},
            "Expected the name of a Keras activation. Received: activation='rellu'. "
            "Do pass e.g. 'relu', or 'linear' for none.",
        ),
        (
            {"kernel_regularizer": "l3"},
            "Expected a Keras regularizer: its name, config or an instance. Received: kernel_regularizer='l3'. "
            "Do pass e.g. 'l2' or keras.regularizers.L2(1e-4).",
        ),
    ],
)
def test_arguments_that_cannot_be(arguments, text, refused):
    refused(lambda: trunks.Conv(**arguments), text)


@pytest.mark.parametrize(
    ("arguments", "shape", "text"),
    [
        (
            {"filters": (4, 4), "pool": 4},
            (8, 8, 1),
            "Expected at least 4x4 pixels for stage 2 of trunks.Conv. Received: shape=(None, 2, 2, 4). "
            "Do use larger images, or fewer or smaller stages.",
        ),
        (
            {"filters": (4, 4), "padding": "valid"},
            (9, 20, 1),
            "Expected at least 4x4 pixels for stage 2 of trunks.Conv. Received: shape=(None, 3, 9, 4). "
            "Do use larger images, or fewer or smaller stages.",
        ),
        (
            {},
            (8,),
            "Expected images or feature maps of shape [B, H, W, C] for stage 1 of trunks.Conv. "
            "Received: shape=(None, 8). Do add the missing axes.",
        ),
        (
            {"filters": (4,)},
            (None, 8, 1),
            "Expected images of a fixed size where the feature map is flattened. Received: shape=(None, None, 4, 4). "
            "Do pass keras.Input((height, width, channels)), or output='average'.",
        ),
    ],
)
def test_images_that_do_not_fit(arguments, shape, text, refused):
    refused(lambda: trunks.Conv(**arguments)(keras.Input(shape)), text)


def test_the_smallest_images_that_do_fit():
    """One pixel less is refused above: 2 + 4 for the second stage, twice that and 2 for the first."""
    assert shapes(trunks.Conv((4, 4), padding="valid", output="map"), (10, 10, 1)) == [(4, 4, 4), (1, 1, 4)]
    assert shapes(trunks.Conv((4, 4), pool=4, output="map"), (16, 16, 1)) == [(4, 4, 4), (1, 1, 4)]

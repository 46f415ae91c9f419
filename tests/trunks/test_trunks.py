"""Trunks and sharing: exact shapes and parameters, new layers each time, preprocessing as in keras.applications."""

import importlib

import keras
import numpy as np
import pytest

from mtl_keras import sharing, trunks
from mtl_keras.trunks.pretrained import MODE, preprocessing_layers

SMALL = {
    "conv": trunks.Conv((4, 6), batch_norm=True, dense=(8,), dropout=0.1, kernel_regularizer="l2"),
    "residual": trunks.Residual((4, 6), (1, 2), kernel_regularizer=keras.regularizers.L1(0.1)),
    "pretrained": trunks.Pretrained("MobileNet", arguments={"alpha": 0.25}),
}


def refused(call, text):
    with pytest.raises(ValueError, match="Expected") as error:
        call()
    assert str(error.value) == text


def test_every_trunk_has_a_row_here():
    assert sorted(SMALL) == trunks.names()
    assert sharing.names() == ["hard"]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_contract(name, tmp_path):
    """Stages in turn are the trunk, copies share no variable, configs and saved models come back."""
    trunk = SMALL[name]
    x = keras.Input((32, 32, 3))
    whole = keras.Model(x, trunk(x, name="one"))
    features = x
    for stage in trunk.stages("two"):
        features = stage(features)
    copy = keras.Model(x, features)
    assert copy.output.shape == whole.output.shape
    assert not {id(v) for v in whole.variables} & {id(v) for v in copy.variables}
    assert all(layer.name.startswith("one_") for layer in whole.layers[1:])
    config = keras.saving.serialize_keras_object(trunk)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(trunk)
    assert again.get_config() == trunk.get_config()
    assert trunks.get(config).get_config() == trunk.get_config()
    hard = sharing.get(keras.saving.serialize_keras_object(sharing.Hard(trunk)))
    assert hard.trunk.get_config() == trunk.get_config()
    assert hard.preprocessing() == trunk.preprocessing()
    whole.save(tmp_path / "trunk.keras")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "trunk.keras")
    np.testing.assert_array_equal(loaded.predict(pixels, verbose=0), whole.predict(pixels, verbose=0))


def test_the_reference_network_has_its_published_size():
    """Conv 64 3x3, ReLU, Conv 128 3x3, ReLU, average pool 2, flatten, on 16x16x3: 1,792 + 73,856 parameters."""
    x = keras.Input((16, 16, 3))
    model = keras.Model(x, trunks.Conv((64, 128), pool=(1, 2), pooling="average", padding="valid")(x))
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds == ["Conv2D", "Activation", "Conv2D", "Activation", "AveragePooling2D", "Flatten"]
    assert [layer.count_params() for layer in model.layers if layer.count_params()] == [1792, 73856]
    assert model.output.shape == (None, 4608)


def test_resnet18_has_eight_blocks_and_halves_three_times():
    x = keras.Input((64, 64, 3))
    model = keras.Model(x, trunks.Residual.resnet18(width=8, output="map")(x))
    assert model.output.shape == (None, 8, 8, 64)
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 8
    large = keras.Model(x, trunks.Residual.resnet18(width=8, stem="large", output="map")(x))
    assert large.output.shape == (None, 2, 2, 64)


def test_regularizers_reach_every_kernel():
    """L2 of 0.01 (Keras' default) over the kernels, biases left out."""
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, trunks.Conv((4,), dense=(3,), kernel_regularizer="l2")(x))
    kernels = [v.numpy() for v in model.variables if v.name == "kernel"]
    assert len(model.losses) == len(kernels) == 2
    np.testing.assert_allclose(sum(model.losses), 0.01 * sum((k**2).sum() for k in kernels), rtol=1e-6)


def test_mixed_precision_computes_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    x = keras.Input((8, 8, 1))
    features = trunks.Conv((4,))(x)
    assert features.dtype == "float16"


@pytest.mark.parametrize(("mode", "module"), [("caffe", "resnet50"), ("tf", "mobilenet_v2"), ("torch", "densenet")])
def test_preprocessing_is_that_of_keras_applications(mode, module):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3)).astype("float32")
    expected = importlib.import_module(f"keras.applications.{module}").preprocess_input(pixels.copy())
    features = pixels
    for layer in preprocessing_layers(mode):
        features = layer(features)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-4)


def test_every_application_of_keras_is_known():
    networks = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(MODE) == networks


def test_pretrained_weights_come_from_a_file(tmp_path):
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    network.save_weights(tmp_path / "mobilenet.weights.h5")
    trunk = trunks.Pretrained("MobileNet", weights=tmp_path / "mobilenet.weights.h5", arguments={"alpha": 0.25})
    x = keras.Input((32, 32, 3))
    model = keras.Model(x, trunk(x))
    for mine, theirs in zip(model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_arguments_that_cannot_be():
    refused(
        lambda: trunks.Conv(()),
        "Expected whole numbers of at least 1 as filters. Received: filters=(). Do pass e.g. (32, 64).",
    )
    refused(
        lambda: trunks.Conv((4, 4), pool=(2,)),
        "Expected one pooling size per stage. Received: filters=[4, 4], pool=[2]. Do pass as many as filters.",
    )
    refused(
        lambda: trunks.Conv(pooling="median"),
        "Expected pooling among ['max', 'average']. Received: pooling='median'. Do choose one.",
    )
    refused(
        lambda: trunks.Conv((4, 4), pool=4)(keras.Input((8, 8, 1))),
        "Expected at least 4x4 pixels for stage 2 of trunks.Conv. Received: shape=(None, 2, 2, 4). "
        "Do use larger images, or fewer or smaller stages.",
    )
    refused(
        lambda: trunks.Conv()(keras.Input((8,))),
        "Expected images or feature maps of shape [B, H, W, C] for stage 1 of trunks.Conv. Received: shape=(None, 8). "
        "Do add the missing axes.",
    )
    refused(
        lambda: trunks.Pretrained(weights="imagenet"),
        "Expected weights as a file that exists, or None (nothing is downloaded). Received: weights='imagenet'. "
        "Do save them once with keras.applications.<name>(weights='imagenet', include_top=False)"
        ".save_weights('name.weights.h5').",
    )
    refused(
        lambda: trunks.Pretrained("MobileNet")(keras.Input((32, 32, 1))),
        "Expected RGB images. Received: shape=(None, 32, 32, 1). Do convert grey images to three channels.",
    )
    refused(
        lambda: trunks.get("magic"),
        "Expected the name of a trunk. Received: trunk='magic'. Do choose one of conv, pretrained, residual.",
    )

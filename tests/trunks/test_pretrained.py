"""Networks of keras.applications as trunks: pixels, weights from a file, stages, arguments that cannot be."""

import importlib

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from mtl_keras import trunks
from mtl_keras.trunks import applications

SMALL = {"alpha": 0.25}
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")


def model_of(trunk):
    x = keras.Input((32, 32, 3), name="image")
    return keras.Model(x, trunk(x))


# -- pixels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "module"),
    [
        ("ResNet50", "resnet50"),
        ("VGG16", "vgg16"),
        ("MobileNet", "mobilenet"),
        ("MobileNetV2", "mobilenet_v2"),
        ("InceptionV3", "inception_v3"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("NASNetMobile", "nasnet"),
        ("ResNet50V2", "resnet_v2"),
        ("Xception", "xception"),
        ("DenseNet121", "densenet"),
        ("EfficientNetB0", "efficientnet"),
        ("EfficientNetV2B0", "efficientnet_v2"),
        ("MobileNetV3Small", "mobilenet_v3"),
        ("ConvNeXtTiny", "convnext"),
    ],
)
def test_preprocessing_is_that_of_keras_applications(application, module):
    expected = importlib.import_module(f"keras.applications.{module}").preprocess_input(PIXELS.copy())
    features = PIXELS
    for layer in applications.preprocessing_layers(applications.MODE[application]):
        features = layer(features)
    np.testing.assert_allclose(features, expected, rtol=1e-6, atol=2e-5)


def test_every_network_of_keras_is_known():
    networks = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(applications.MODE) == networks


@pytest.mark.parametrize(("application", "input_scale"), [("MobileNet", 1.0), ("MobileNetV2", 255.0)])
def test_the_trunk_is_preprocess_input_and_the_network(application, input_scale):
    module = {"MobileNet": "mobilenet", "MobileNetV2": "mobilenet_v2"}[application]
    preprocess = importlib.import_module(f"keras.applications.{module}").preprocess_input
    arguments = {"alpha": 0.35} if application == "MobileNetV2" else SMALL
    network = getattr(keras.applications, application)(
        include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg", **arguments
    )
    trunk = trunks.Pretrained(application, input_scale=input_scale, arguments=arguments)
    model = model_of(trunk)
    network.set_weights(model.get_weights())
    expected = network(preprocess(PIXELS.copy()))
    np.testing.assert_allclose(model(PIXELS / input_scale), expected, rtol=1e-4, atol=1e-5)
    assert trunk.preprocessing() == {
        "in_graph": "keras.applications",
        "application": application,
        "mode": "tf",
        "pixels": "RGB, 0..255" if input_scale == 1 else "RGB, 0..1",
        "input_scale": input_scale,
    }


def test_pixels_keep_their_decimals_under_mixed_precision():
    """In float16 the mean 103.939 is 103.9375 and differences of neighbouring pixels lose digits."""
    keras.config.set_dtype_policy("mixed_float16")
    features = PIXELS
    for layer in applications.preprocessing_layers("caffe"):
        features = layer(features)
    np.testing.assert_allclose(features, PIXELS[..., ::-1] - [103.939, 116.779, 123.68], rtol=1e-6, atol=2e-5)


def test_preprocessing_converts_to_litert(tmp_path):
    x = keras.Input((8, 8, 3), name="image")
    outputs = {}
    for mode in ("caffe", "tf", "torch"):
        features = x
        for layer in applications.preprocessing_layers(mode, name=mode):
            features = layer(features)
        outputs[mode] = features
    model = keras.Model(x, outputs)
    path = str(tmp_path / "preprocess.tflite")
    model.export(path, format="litert", verbose=False)
    found = Interpreter(model_path=path).get_signature_runner("serving_default")(image=PIXELS[:1, :8, :8])
    expected = model(PIXELS[:1, :8, :8])
    for mode in outputs:
        np.testing.assert_allclose(found[mode], expected[mode], rtol=1e-5, atol=1e-5, err_msg=mode)


# -- weights -----------------------------------------------------------------------------------------------------------


def test_weights_come_from_a_file(tmp_path):
    network = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3), **SMALL)
    network.save_weights(tmp_path / "mobilenet.weights.h5")
    trunk = trunks.Pretrained("MobileNet", weights=tmp_path / "mobilenet.weights.h5", arguments=SMALL)
    model = model_of(trunk)
    for mine, theirs in zip(model.weights, network.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    again = trunks.Pretrained.from_config(trunk.get_config())
    np.testing.assert_array_equal(model_of(again)(PIXELS), model(PIXELS))


def test_weights_of_another_network_are_refused(tmp_path, refused):
    file = str(tmp_path / "wide.weights.h5")
    keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.5).save_weights(file)
    refused(
        lambda: model_of(trunks.Pretrained("MobileNet", weights=file, arguments=SMALL)),
        f"Expected weights of keras.applications.MobileNet without its top. Received: weights={file!r}. "
        "Do save them from a network made with include_top=False and the same arguments.",
    )
    (tmp_path / "broken.weights.h5").write_bytes(b"not hdf5")
    file = str(tmp_path / "broken.weights.h5")
    refused(
        lambda: model_of(trunks.Pretrained("MobileNet", weights=file, arguments=SMALL)),
        f"Expected weights of keras.applications.MobileNet without its top. Received: weights={file!r}. "
        "Do save them from a network made with include_top=False and the same arguments.",
    )


@pytest.mark.parametrize("application", ["EfficientNetB0", "EfficientNetV2B0"])
def test_efficientnet_files_hold_deviations_for_variances(application, tmp_path):
    """What the network with weights="imagenet" computes: (x/255 - mean) / sqrt(std) · 1/sqrt(std), tensorflow#49930."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def start():
        x = keras.Input((4, 4, 3))
        return keras.Model(x, keras.layers.Normalization()(keras.layers.Rescaling(1 / 255)(x)))

    saved = start()
    saved.layers[-1].set_weights([mean, std, np.array(0)])
    saved.save_weights(tmp_path / "as_published.weights.h5")
    loaded = start()
    applications.load_weights(loaded, str(tmp_path / "as_published.weights.h5"), application)
    divisor = std if application == "EfficientNetB0" else np.sqrt(std)
    expected = (PIXELS[:, :4, :4] / 255 - mean) / divisor
    np.testing.assert_allclose(loaded(PIXELS[:, :4, :4]), expected, rtol=1e-5, atol=1e-6)
    # saved again, the file holds variances and is taken as it is
    loaded.save_weights(tmp_path / "again.weights.h5")
    again = start()
    applications.load_weights(again, str(tmp_path / "again.weights.h5"), application)
    np.testing.assert_array_equal(again(PIXELS[:, :4, :4]), loaded(PIXELS[:, :4, :4]))


def test_frozen_networks_stay_frozen(tmp_path):
    model = model_of(trunks.Pretrained("MobileNet", trainable=False, arguments=SMALL))
    assert model.trainable_variables == []
    before = model.get_weights()
    model(PIXELS, training=True)  # a frozen batch normalization moves no statistics
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.save(tmp_path / "frozen.keras")
    assert keras.models.load_model(tmp_path / "frozen.keras").trainable_variables == []


# -- stages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "sides", "last_layers"),
    [
        # a network with full resolution in its first block: the last layer before each pooling, then the end
        (
            "VGG16",
            (32, 16, 8, 4, 2, 1),
            ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        ),
        # with sums around blocks: never inside a block, where two tensors pass; expanded maps before strided ones
        (
            "MobileNetV2",
            (16, 8, 4, 2, 1),
            ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu", "out_relu"),
        ),
    ],
)
def test_stages_end_where_the_resolution_halves(application, sides, last_layers):
    positions = applications.split_positions(application, {})
    # the same layers on a small image
    network = keras.applications.MobileNetV2 if application == "MobileNetV2" else keras.applications.VGG16
    parts = applications.split(network(include_top=False, weights=None, input_shape=(32, 32, 3)), positions, "part")
    assert tuple(part.output.shape[1] for part in parts) == sides
    assert tuple(part.layers[-1].name for part in parts) == last_layers
    assert [part.name for part in parts] == [f"part_{number}" for number in range(1, len(sides) + 1)]


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"weights": "imagenet"},
            "Expected weights as a file that exists, or None (nothing is downloaded). Received: weights='imagenet'. "
            "Do save them once, where the network may, with keras.applications.MobileNetV2(weights='imagenet', "
            "include_top=False).save_weights('name.weights.h5').",
        ),
        (
            {"input_scale": 0},
            "Expected a finite input_scale above 0. Received: input_scale=0. Do pass 255.0 for images in 0..1.",
        ),
        (
            {"output": "flatten"},
            "Expected output among ['average', 'max', 'map']. Received: output='flatten'. Do choose one.",
        ),
        (
            {"arguments": {"pooling": "avg"}},
            "Expected arguments that trunks.Pretrained does not set itself. Received: pooling='avg'. "
            "Do leave it out, or see weights, output and input_scale.",
        ),
        (
            {"arguments": {"alpha": np.float32(0.5)}},
            "Expected arguments as plain JSON values. Received: arguments={'alpha': np.float32(0.5)}. "
            "Do pass numbers, texts and lists.",
        ),
    ],
)
def test_arguments_that_cannot_be(arguments, text, refused):
    refused(lambda: trunks.Pretrained(**arguments), text)


def test_networks_that_do_not_exist(refused):
    names = sorted(applications.MODE)
    refused(
        lambda: trunks.Pretrained("ResNet18"),
        f"Expected a network of keras.applications. Received: application='ResNet18'. Do choose one of {names}.",
    )


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            (32, 32, 1),
            "Expected RGB images. Received: shape=(None, 32, 32, 1). Do convert grey images to three channels.",
        ),
        (
            (31, 40, 3),
            "Expected at least 32x32 pixels for trunks.Pretrained('MobileNet'). Received: shape=(None, 31, 40, 3). "
            "Do use larger images, or fewer or smaller stages.",
        ),
        (
            (40, 3),
            "Expected images or feature maps of shape [B, H, W, C] for trunks.Pretrained('MobileNet'). "
            "Received: shape=(None, 40, 3). Do add the missing axes.",
        ),
    ],
)
def test_images_that_do_not_fit(shape, text, refused):
    refused(lambda: trunks.Pretrained("MobileNet", arguments=SMALL)(keras.Input(shape)), text)

"""Trunks of `keras.applications`, with their preprocessing inside the graph."""

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.trunks.base import Stage, Trunk, register
from mtl_keras.trunks.checks import choice, spatial

# what each family's preprocess_input does; "none" where the application does it itself
_MODES = {
    "caffe": ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"),
    "tf": (
        *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "NASNetLarge", "NASNetMobile"),
        *("ResNet50V2", "ResNet101V2", "ResNet152V2", "Xception"),
    ),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "none": tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge"))
    + tuple(f"EfficientNetB{number}" for number in range(8))
    + tuple(f"EfficientNetV2{kind}" for kind in ("B0", "B1", "B2", "B3", "S", "M", "L"))
    + ("MobileNetV3Small", "MobileNetV3Large"),
}
MODE = {name: mode for mode, names in _MODES.items() for name in names}

_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]
_CAFFE_MEAN_BGR = [103.939, 116.779, 123.68]


@register("pretrained")
class Pretrained(Trunk):
    """A network of `keras.applications` without its top, reading RGB pixels 0..255.

    The network's own `preprocess_input` is part of the graph, as standard layers that convert to LiteRT, so a deployed
    model takes plain pixels.

    Args:
        application: Name in `keras.applications`, e.g. `"MobileNetV2"`.
        weights: A file of the network without its top (`.weights.h5` or `.h5`), or None (default) for new weights.
            Nothing is ever downloaded.
        trainable: Whether the network is trained, default True.
        output: `"average"` (default) over the image, `"max"`, or `"map"` for the last feature map.
        arguments: More arguments of the application, e.g. `{"alpha": 0.35}`.

    Raises:
        ValueError: The name is unknown, the weights are no file, the input has not 3 channels.

    The whole network is one stage.

    Example:
        >>> import keras
        >>> from mtl_keras import trunks
        >>> trunk = trunks.Pretrained("MobileNetV2", arguments={"alpha": 0.35})
        >>> trunk(keras.Input((32, 32, 3))).shape, trunk.preprocessing()["mode"]
        ((None, 1280), 'tf')
    """

    def __init__(
        self,
        application: str = "MobileNetV2",
        weights: str | PathLike[str] | None = None,
        trainable: bool = True,
        output: str = "average",
        arguments: dict[str, Any] | None = None,
    ):
        if application not in MODE or not hasattr(keras.applications, application):
            raise ValueError(
                message("a network of keras.applications", f"choose one of {sorted(MODE)}", application=application)
            )
        if weights is not None and not Path(weights).is_file():
            raise ValueError(
                message(
                    "weights as a file that exists, or None (nothing is downloaded)",
                    "save them once with keras.applications.<name>(weights='imagenet', include_top=False)"
                    ".save_weights('name.weights.h5')",
                    weights=fspath(weights),
                )
            )
        self.application = application
        self.weights = None if weights is None else fspath(weights)
        self.trainable = bool(trainable)
        self.output = choice("output", output, ("average", "max", "map"))
        self.arguments = dict(arguments or {})

    def stages(self, name: str = "trunk") -> list[Stage]:
        def run(features: Any) -> Any:
            spatial(f"trunks.Pretrained({self.application!r})", features, needed=32)
            shape = tuple(features.shape)[1:]
            if shape[-1] != 3:
                raise ValueError(message("RGB images", "convert grey images to three channels", shape=(None, *shape)))
            network = getattr(keras.applications, self.application)(
                include_top=False,
                weights=None,
                input_shape=shape,
                pooling={"average": "avg", "max": "max", "map": None}[self.output],
                name=f"{name}_{self.application.lower()}",
                **self.arguments,
            )
            if self.weights is not None:
                network.load_weights(self.weights)
            network.trainable = self.trainable
            for layer in preprocessing_layers(MODE[self.application], name):
                features = layer(features)
            return network(features)

        return [run]

    def preprocessing(self) -> dict[str, Any]:
        return {"in_graph": "keras.applications", "application": self.application, "mode": MODE[self.application]} | {
            "pixels": "RGB, 0..255"
        }

    def get_config(self) -> dict[str, Any]:
        # the weights are in the saved model; the file need not exist where that is loaded
        return {
            "application": self.application,
            "weights": None,
            "trainable": self.trainable,
            "output": self.output,
            "arguments": self.arguments,
        }


def preprocessing_layers(mode: str, name: str = "trunk") -> list[keras.layers.Layer]:
    """`preprocess_input` of one mode as layers: RGB pixels 0..255 to what the network was trained on."""
    if mode == "tf":
        return [keras.layers.Rescaling(1 / 127.5, -1.0, name=f"{name}_preprocess")]
    if mode == "torch":
        variance = [(255 * std) ** 2 for std in _IMAGENET_STD]
        mean = [255 * mean for mean in _IMAGENET_MEAN]
        return [keras.layers.Normalization(mean=mean, variance=variance, name=f"{name}_preprocess")]
    if mode == "caffe":
        return [
            ReverseChannels(name=f"{name}_to_bgr"),
            keras.layers.Rescaling(1.0, [-mean for mean in _CAFFE_MEAN_BGR], name=f"{name}_preprocess"),
        ]
    return []


@keras.saving.register_keras_serializable(package="mtl_keras")
class ReverseChannels(keras.layers.Layer):
    """RGB to BGR."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.flip(inputs, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

"""The networks of `keras.applications`: what each does to pixels, where its resolution halves, weights from a file."""

import functools
import json
import math
import warnings
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message
from mtl_keras.registry import PACKAGE

# what each family's preprocess_input does; "none" where the network does it itself
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
_SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}

_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_STD = [0.229, 0.224, 0.225]
_CAFFE_MEAN_BGR = [103.939, 116.779, 123.68]


def smallest_side(application: str) -> int:
    """The smallest image that the network takes, in pixels a side."""
    return _SMALLEST.get(application, 32)


def network(application: str, input_shape: tuple[int | None, ...], arguments: dict[str, Any]) -> keras.Model:
    """The network without its top, with new weights."""
    make = getattr(keras.applications, application)
    return make(include_top=False, weights=None, input_shape=input_shape, **arguments)


def preprocessing_layers(mode: str, name: str = "trunk") -> list[keras.layers.Layer]:
    """`preprocess_input` of one mode as layers: RGB pixels 0..255 to what the network was trained on.

    They compute in float32 whatever the global policy says: a pixel mean of 123.68 loses its decimals in float16.
    """
    if mode == "tf":
        return [keras.layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name=f"{name}_preprocess")]
    if mode == "torch":
        mean = [255 * mean for mean in _IMAGENET_MEAN]
        variance = [(255 * std) ** 2 for std in _IMAGENET_STD]
        return [
            keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name=f"{name}_preprocess"),
        ]
    if mode == "caffe":
        offset = [-mean for mean in _CAFFE_MEAN_BGR]
        return [
            ReverseChannels(dtype="float32", name=f"{name}_to_bgr"),
            keras.layers.Rescaling(1.0, offset, dtype="float32", name=f"{name}_preprocess"),
        ]
    return []


@keras.saving.register_keras_serializable(package=PACKAGE)
class ReverseChannels(keras.layers.Layer):
    """RGB to BGR: no layer of Keras does it."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.flip(inputs, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def split_positions(application: str, arguments: dict[str, Any]) -> tuple[int, ...]:
    """Where the network is cut into stages: positions among its calls, each the last before the resolution halves."""
    return _split_positions(application, json.dumps(arguments, sort_keys=True))


# building a network only to look at it takes a second: once per process is enough, and positions hold for every size
@functools.cache
def _split_positions(application: str, arguments: str) -> tuple[int, ...]:
    size = 512  # large enough for networks without padding, whose sides are not quite halved
    model = network(application, (size, size, 3), json.loads(arguments))
    calls = _calls(model)
    last_use = {id(tensor): position for position, (_, taken, _) in enumerate(calls) for tensor in taken}
    deepest: dict[int, int] = {}  # per resolution, counted in halvings
    waiting: set[int] = set()  # tensors made and still to be used
    trained = False
    for position, (operation, _, made) in enumerate(calls):
        waiting = {t for t in waiting | {id(m) for m in made} if last_use.get(t, len(calls)) > position}
        trained = trained or bool(getattr(operation, "trainable_variables", []))
        # one tensor with all that follows behind it; a padded map is no one's features
        if waiting == {id(made[0])} and trained and not isinstance(operation, keras.layers.ZeroPadding2D):
            deepest[round(math.log2(size / made[0].shape[1]))] = position
    return tuple(sorted(deepest.values()))[:-1]


def split(model: keras.Model, positions: tuple[int, ...], name: str) -> list[keras.Model]:
    """The network as one model per stage, on the same layers."""
    calls = _calls(model)
    # of each operation the first call, which is the network's own
    ends = [calls[position][0].output for position in positions] + [model.output]
    starts = [model.input, *ends[:-1]]
    return [
        keras.Model(start, end, name=f"{name}_{number}")
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def _calls(model: keras.Model) -> list[tuple[Any, list[Any], list[Any]]]:
    """Every call in running order: operation, tensors taken, tensors made."""
    calls: list[tuple[Any, list[Any], list[Any]]] = []

    def watch(operation: Any, *args: Any, **kwargs: Any) -> Any:
        made = operation(*args, **kwargs)
        taken = [t for t in keras.tree.flatten((args, kwargs)) if keras.backend.is_keras_tensor(t)]
        calls.append((operation, taken, keras.tree.flatten(made)))
        return made

    keras.models.clone_model(model, input_tensors=model.input, clone_function=lambda layer: layer, call_function=watch)
    return calls


def load_weights(model: keras.Model, file: str, application: str) -> None:
    """Read the weights of a network without its top.

    Files of EfficientNetB0 to B7 hold standard deviations where their normalization layer expects variances, and Keras
    makes up for it with `weights="imagenet"` only (tensorflow#49930), not with a file of the same weights. Here the
    standard deviations are squared, so that such a file computes what `weights="imagenet"` computes.
    """
    try:
        with warnings.catch_warnings():
            # Keras only warns of parts that the file lacks and that keep their new weights
            warnings.simplefilter("error", UserWarning)
            model.load_weights(file)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise ValueError(
            message(
                f"weights of keras.applications.{application} without its top",
                "save them from a network made with include_top=False and the same arguments",
                weights=file,
            )
        ) from error
    if not application.startswith("EfficientNetB"):
        return
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, *rest = layer.get_weights()
            if np.allclose(variance, _IMAGENET_STD, atol=1e-3):
                layer.set_weights([mean, np.square(variance), *rest])
                layer.finalize_state()

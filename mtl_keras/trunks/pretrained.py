"""Trunks of `keras.applications`, with their preprocessing inside the graph."""

import json
import math
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.trunks.applications import (
    MODE,
    load_weights,
    network,
    preprocessing_layers,
    smallest_side,
    split,
    split_positions,
)
from mtl_keras.trunks.base import Stage, Trunk, register
from mtl_keras.trunks.checks import End, choice, spatial

# set by this class, or without meaning for features
_TAKEN = (
    *("include_top", "weights", "input_tensor", "input_shape", "pooling", "classes", "classifier_activation", "name"),
    "include_preprocessing",
)


@register("pretrained")
class Pretrained(Trunk):
    """A network of `keras.applications` without its top, reading RGB pixels 0..255.

    The network's own `preprocess_input` is part of the graph, as layers that convert to LiteRT, so that a deployed
    model takes plain pixels.

    Args:
        application: Name in `keras.applications`, default `"MobileNetV2"`.
        weights: A file of the network without its top (`.weights.h5`, `.h5` or `.keras`), or None (default) for new
            weights. Nothing is ever downloaded.
        trainable: Whether the network is trained, default True. A frozen one keeps its batch statistics too.
        output: `"average"` (default) over the image, `"max"`, or `"map"` for the last feature map.
        input_scale: What the input is multiplied with to become pixels 0..255, default 1.0; 255.0 for images in 0..1.
        arguments: More arguments of the application, default none, e.g. `{"alpha": 0.35}`.

    Raises:
        ValueError: The name is unknown, the weights are no file or of another network, an argument is one that this
            class sets; when called, an image too small or not of 3 channels.

    Shapes: images `[B, H, W, 3]` to features `[B, F]`, or `[B, H', W', F]` with `output="map"`.

    Stages end where the resolution halves, with the last map of each resolution that all later layers read alone; where
    no single tensor passes (NASNet carries two), stages join. Each stage is a model, called `<name>_<application>_1`
    and so on, that keeps the layer names of `keras.applications`.

    Source: `keras.applications`, where each network names its paper and the licence of its weights.

    Example:
        >>> import keras
        >>> from mtl_keras import trunks
        >>> trunk = trunks.Pretrained("MobileNetV2", arguments={"alpha": 0.35})
        >>> trunk(keras.Input((32, 32, 3))).shape, trunk.preprocessing()["mode"], len(trunk.stages())
        ((None, 1280), 'tf', 5)
    """

    def __init__(
        self,
        application: str = "MobileNetV2",
        weights: str | PathLike[str] | None = None,
        trainable: bool = True,
        output: str = "average",
        input_scale: float = 1.0,
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
                    f"save them once, where the network may, with keras.applications.{application}("
                    "weights='imagenet', include_top=False).save_weights('name.weights.h5')",
                    weights=weights,
                )
            )
        if not 0 < input_scale < math.inf:
            raise ValueError(
                message("a finite input_scale above 0", "pass 255.0 for images in 0..1", input_scale=input_scale)
            )
        self.application = application
        self.weights = None if weights is None else fspath(weights)
        self.trainable = bool(trainable)
        self.output = choice("output", output, ("average", "max", "map"))
        self.input_scale = float(input_scale)
        self.arguments = _checked_arguments(dict(arguments or {}))

    def stages(self, name: str = "trunk") -> list[Stage]:
        positions = split_positions(self.application, self.arguments)
        preprocess = self._preprocess(name)
        end = End(name, self.output)
        parts: list[keras.Model] = []  # made by the first stage, which sees the image size

        def first(features: Any) -> Any:
            parts[:] = self._parts(features, positions, name)
            for layer in preprocess:
                features = layer(features)
            return parts[0](features)

        def part(index: int) -> Stage:
            return lambda features: parts[index](features)

        *before, last = [first, *(part(index) for index in range(1, len(positions) + 1))]
        return [*before, lambda features: end(last(features))]

    def _preprocess(self, name: str) -> list[keras.layers.Layer]:
        layers = preprocessing_layers(MODE[self.application], name)
        if self.input_scale != 1.0:
            layers.insert(0, keras.layers.Rescaling(self.input_scale, dtype="float32", name=f"{name}_to_pixels"))
        return layers

    def _parts(self, features: Any, positions: tuple[int, ...], name: str) -> list[keras.Model]:
        where = f"trunks.Pretrained({self.application!r})"
        spatial(where, features, smallest_side(self.application))
        shape = tuple(features.shape)
        if shape[-1] != 3:
            raise ValueError(message("RGB images", "convert grey images to three channels", shape=shape))
        if self.application.startswith("NASNet") and None in shape[1:]:
            raise ValueError(
                message(f"images of a fixed size for {where}", "pass keras.Input((height, width, 3))", shape=shape)
            )
        model = network(self.application, shape[1:], self.arguments)
        if self.weights is not None:
            load_weights(model, self.weights, self.application)
        parts = split(model, positions, f"{name}_{self.application.lower()}")
        for part in parts:
            part.trainable = self.trainable
        return parts

    def preprocessing(self) -> dict[str, Any]:
        return {
            "in_graph": "keras.applications",
            "application": self.application,
            "mode": MODE[self.application],
            "pixels": f"RGB, 0..{255 / self.input_scale:g}",
            "input_scale": self.input_scale,
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "application": self.application,
            "weights": self.weights,
            "trainable": self.trainable,
            "output": self.output,
            "input_scale": self.input_scale,
            "arguments": self.arguments,
        }


def _checked_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    for name in arguments:
        if name in _TAKEN:
            raise ValueError(
                message(
                    "arguments that trunks.Pretrained does not set itself",
                    "leave it out, or see weights, output and input_scale",
                    **{name: arguments[name]},
                )
            )
    try:
        return json.loads(json.dumps(arguments))
    except TypeError as error:
        raise ValueError(
            message("arguments as plain JSON values", "pass numbers, texts and lists", arguments=arguments)
        ) from error

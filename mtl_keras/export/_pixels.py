"""Inputs as whole-number pixels, with the scaling inside the graph."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message

Steps = Mapping[str, Mapping[str, Any]]


def scaled_inputs(graph: keras.Model, before: Steps, stored: str = "uint8") -> keras.Model:
    """The graph with pixels from 0 to 255 as inputs, on which it computes `x * scale + offset` itself.

    Args:
        graph: A functional model with dict outputs.
        before: `{input name: {"scale", "offset"}}`: the inputs to change.
        stored: `"uint8"` (default), or `"float32"` for the converter to store them in 8 bits.
    """
    pixels = {tensor.name: _pixel_input(tensor, stored) if tensor.name in before else tensor for tensor in graph.inputs}
    read = {}
    for name, tensor in pixels.items():
        scale, offset = _factors(before.get(name, {}))
        whole = tensor if stored == "uint8" else WholePixels(name=f"{name}_pixels")(tensor)
        read[name] = keras.layers.Rescaling(scale, offset, name=f"{name}_scaled")(whole) if name in before else tensor
    outputs = graph(keras.tree.map_structure(lambda tensor: read[tensor.name], graph.input))
    inputs = keras.tree.map_structure(lambda tensor: pixels[tensor.name], graph.input)
    return keras.Model(inputs, outputs, name=graph.name)


class WholePixels(keras.layers.Layer):
    """Tells the converter that 8 bits hold these numbers exactly: the whole ones from 0 to 255."""

    def call(self, inputs: Any) -> Any:
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, 0.0, 255.0)


def to_pixels(values: Mapping[str, np.ndarray], before: Steps, stored: str = "uint8") -> dict[str, np.ndarray]:
    """The pixels behind scaled inputs."""
    made = dict(values)
    for name, steps in before.items():
        scale, offset = _factors(steps)
        made[name] = np.clip(np.rint((values[name] - offset) / scale), 0, 255).astype(stored)
    return made


def pixel_steps(before: Steps, graph: keras.Model) -> Steps:
    """The steps, if they say how pixels become what at least one float input takes.

    Args:
        before: The manifest's `preprocessing["before"]`.
        graph: The graph whose inputs they are.
    """
    floats = [tensor.name for tensor in graph.inputs if "float" in str(tensor.dtype)]
    if not before or not set(before) <= set(floats):
        raise ValueError(
            message(
                f"before={{'scale': ...}} for float inputs among {floats}, to know what pixels are multiplied by",
                "pass it, or leave pixels out",
                before=dict(before),
            )
        )
    for name, steps in before.items():
        if not _factors(steps)[0]:
            raise ValueError(message(f"a scale other than 0 for input {name!r}", "correct it", before=dict(before)))
    return before


def _pixel_input(tensor: Any, stored: str) -> Any:
    return keras.Input(batch_shape=tensor.shape, dtype=stored, name=tensor.name)


def _factors(steps: Mapping[str, Any]) -> tuple[float, float]:
    return float(steps.get("scale", 1.0)), float(steps.get("offset", 0.0))

"""Batch normalization folded into the layer before it, as converters do: one set of weights to round."""

from typing import Any

import keras
import numpy as np

from mtl_keras.graph import Graph

_FOLDABLE = (keras.layers.Dense, keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def foldable(graph: Graph) -> dict[int, int]:
    """`{index of a BatchNormalization's call: index of the call before it}` for those that can be folded.

    The layer before must be linear, called once, and read by the normalization alone.
    """
    maker = {id(tensor): index for index, call in enumerate(graph.calls) for tensor in call.outputs}
    readers = [id(tensor) for call in graph.calls for tensor in call.inputs]
    ends = {id(tensor) for tensor in graph.outputs.values()}
    times = [id(call.operation) for call in graph.calls]
    found = {}
    for index, call in enumerate(graph.calls):
        norm = call.operation
        if type(norm) is not keras.layers.BatchNormalization or len(call.inputs) != 1:
            continue
        tensor = call.inputs[0]
        before = maker.get(id(tensor))
        if before is None or id(tensor) in ends or readers.count(id(tensor)) > 1:
            continue
        layer = graph.calls[before].operation
        if times.count(id(layer)) > 1 or times.count(id(norm)) > 1 or type(layer) not in _FOLDABLE:
            continue
        last = len(tensor.shape) - 1
        channels_last = getattr(layer, "data_format", "channels_last") == "channels_last"
        if layer.activation is keras.activations.linear and channels_last and norm.axis in (-1, last):
            found[index] = before
    return found


def folded_weights(layer: Any, norm: Any) -> list[np.ndarray]:
    """Kernel and bias of a layer that does what the layer and the normalization did in inference.

    `y = gamma (Wx + b - mean) / sqrt(variance + epsilon) + beta`.
    """
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    variance, mean = (keras.ops.convert_to_numpy(v) for v in (norm.moving_variance, norm.moving_mean))
    factor = (1.0 if norm.gamma is None else keras.ops.convert_to_numpy(norm.gamma)) / np.sqrt(variance + norm.epsilon)
    bias = 0.0 if layer.bias is None else keras.ops.convert_to_numpy(layer.bias)
    beta = 0.0 if norm.beta is None else keras.ops.convert_to_numpy(norm.beta)
    # a depthwise kernel ends in two axes that together are the channels
    wide = factor.reshape(kernel.shape[-2:]) if type(layer) is keras.layers.DepthwiseConv2D else factor
    return [kernel * wide, (bias - mean) * factor + beta]

"""A model that is trained with the rounding of its 8-bit file, where rounding afterwards costs a task too much."""

from typing import Any

import keras
import numpy as np

from mtl_keras.export._batch_norm import foldable, folded_weights
from mtl_keras.export._calibration import calibration_examples
from mtl_keras.export._fake_quant import KERNELS, ActivationRange, RoundedWeights
from mtl_keras.export._inference_graph import inference_graph
from mtl_keras.export._nesting import without_nesting
from mtl_keras.graph import Graph, trace
from mtl_keras.models import MultiTaskModel

L = keras.layers
# these give values that they were given (or zeros): the range is that of what they read
_PASS_ON = (
    L.Flatten, L.Reshape, L.Permute, L.RepeatVector, L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D,
    L.GaussianNoise, L.GaussianDropout, L.Identity, L.MaxPooling1D, L.MaxPooling2D, L.GlobalMaxPooling1D,
    L.GlobalMaxPooling2D, L.ZeroPadding1D, L.ZeroPadding2D, L.Cropping1D, L.Cropping2D,
)  # fmt: skip
_SHRINKS = np.linspace(1.0, 0.2, 33)  # ranges tried, as shares of the whole one
_VALUES = 100_000  # of an activation, to choose its range by


def quantization_aware(model: keras.Model, calibration: Any, examples: int = 200, seed: int = 0) -> keras.Model:
    """A copy of a trained model that rounds weights and activations to 8 bits as it computes, for a few more epochs.

    Compile it with a small learning rate, fit it, and export it as `int8` or `int8_full`: the file uses the ranges that
    it learnt. Gradients pass through the rounding unchanged.

    Batch normalizations are folded into the layers before them, so their statistics are fixed; models used as layers
    (pretrained trunks) become layers of the copy. Ranges of activations start where rounding and cutting off together
    cost least, `argmin_c mean (x - q_c(x))^2` over shares c of the whole range, and are trained from there. Layers
    without a kernel (and kernels of other layers) are rounded by the converter alone.

    Args:
        model: A trained functional model with dict outputs, any precision.
        calibration: Data for the ranges, as for `calibration_examples`.
        examples: How many examples of it, default 200.
        seed: Seed of their choice, default 0.

    Returns:
        A model of float32, not compiled: a MultiTaskModel with the same tasks if `model` is one. It saves and loads
        like any other.

    Example:
        >>> import keras, numpy as np, mtl_keras as mtl
        >>> x = keras.Input((4,), name="x")
        >>> model = mtl.MultiTaskModel(x, {"a": keras.layers.Dense(1, name="a")(keras.layers.Dense(8, "relu")(x))})
        >>> aware = quantization_aware(model, np.ones((8, 4), "float32"))
        >>> aware.compile(keras.optimizers.Adam(1e-4), loss={"a": "mse"})
        >>> [type(layer).__name__ for layer in aware.layers][:3]
        ['InputLayer', 'ActivationRange', 'RoundedWeights']

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    CVPR 2018. Departures: ranges start at the least squared error and are trained, in place of running extremes.
    """
    plain = without_nesting(inference_graph(model))
    graph = trace(plain)
    folds = foldable(graph)
    ranged = _ranged(graph, folds)
    shown = calibration_examples(model, calibration, examples, seed)
    limits = _limits(plain, {index: graph.calls[index].outputs[0] for index in ranged}, shown)

    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), plain.input
    )
    ranges: dict[str, tuple[float, float]] = {}

    def range_of(tensor: Any, name: str, low_high: tuple[float, float]) -> Any:
        ranges[f"{name}_range"] = low_high
        return ActivationRange(name=f"{name}_range")(tensor)

    entered = {
        id(tensor): range_of(tensor, tensor.name, _least_error([shown[tensor.name]]))
        for tensor in keras.tree.flatten(inputs)
        if "float" in str(tensor.dtype)
    }
    number = iter(range(len(graph.calls)))

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        index = next(number)
        args, kwargs = keras.tree.map_structure(lambda value: entered.get(id(value), value), (args, kwargs))
        made = args[0] if index in folds else operation(*args, **kwargs)
        return range_of(made, f"{operation.name}_{index}", limits[index]) if index in ranged else made

    biased = {id(graph.calls[before].operation) for before in folds.values()}
    again = keras.models.clone_model(
        plain,
        input_tensors=inputs,
        clone_function=lambda layer: _rounding(layer, use_bias=id(layer) in biased),
        call_function=call,
    )
    outputs = dict(again.output)
    if isinstance(model, MultiTaskModel):
        aware = MultiTaskModel(inputs, outputs, name=model.name, tasks=model.tasks, preprocessing=model.preprocessing)
    else:
        aware = keras.Model(inputs, outputs, name=model.name)
    _copy_weights(plain, aware, {graph.calls[b].operation.name: graph.calls[n].operation for n, b in folds.items()})
    for name, (low, high) in ranges.items():
        aware.get_layer(name).set_limits(low, high)
    return aware


def _ranged(graph: Graph, folds: dict[int, int]) -> set[int]:
    """The calls behind which activations are stored in 8 bits, by index."""
    readers: dict[int, list[Any]] = {}
    for call in graph.calls:
        for tensor in call.inputs:
            readers.setdefault(id(tensor), []).append(call.operation)
    ends = {id(tensor) for tensor in graph.outputs.values()}
    found = set()
    for index, call in enumerate(graph.calls):
        made = call.outputs[0]
        if len(call.outputs) > 1 or id(made) in ends or "float" not in str(made.dtype):
            continue
        if isinstance(call.operation, _PASS_ON) or index in folds.values():
            continue
        reading = readers.get(id(made), [])
        if len(reading) == 1 and _is_fused(reading[0]):
            continue
        found.add(index)
    return found


def _is_fused(layer: Any) -> bool:
    """Whether LiteRT computes this activation as part of the operation before it."""
    if isinstance(layer, L.ReLU):
        return layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold
    return isinstance(layer, L.Activation) and layer.activation in (keras.activations.relu, keras.activations.relu6)


def _limits(
    plain: keras.Model, tensors: dict[int, Any], shown: dict[str, np.ndarray]
) -> dict[int, tuple[float, float]]:
    """The range of each tensor, from what it is on the examples."""
    if not tensors:
        return {}
    graph = keras.Model(plain.inputs, list(tensors.values()))
    seen: list[list[np.ndarray]] = [[] for _ in tensors]
    count = len(next(iter(shown.values())))
    keep = max(1, _VALUES // count)
    rng = np.random.default_rng(0)
    for row in range(count):  # one at a time: all activations of a large model at once are too many
        given = [shown[tensor.name][row : row + 1] for tensor in plain.inputs]
        for values, made in zip(seen, graph.predict_on_batch(given), strict=True):
            flat = np.ravel(made)
            extremes = [flat.min(), flat.max()]
            values.append(np.concatenate([extremes, rng.choice(flat, keep) if flat.size > keep else flat]))
    return {index: _least_error(values) for index, values in zip(tensors, seen, strict=True)}


def _least_error(values: list[np.ndarray]) -> tuple[float, float]:
    """The share of the whole range, 0 included, whose 256 steps come closest to the values."""
    flat = np.concatenate([part.ravel() for part in values]).astype("float64")
    if flat.size > _VALUES:
        flat = np.random.default_rng(0).choice(flat, _VALUES)
    low, high = min(flat.min(), 0.0), max(flat.max(), 0.0)
    if high <= low:
        return 0.0, 1.0

    def error(share: float) -> float:
        step = share * (high - low) / 255
        zero = np.rint(-share * low / step)
        stored = np.clip(np.rint(flat / step) + zero, 0, 255)
        return float(np.mean((flat - step * (stored - zero)) ** 2))

    best = min(_SHRINKS, key=error)
    return float(best * low), float(best * high)


def _rounding(layer: Any, use_bias: bool) -> Any:
    """A new layer like this one, its kernels rounded."""
    if not isinstance(layer, L.Layer):
        return layer
    config = layer.get_config()
    if use_bias:
        config["use_bias"] = True
    made = type(layer).from_config(config)
    return RoundedWeights(made, name=layer.name) if type(layer) in KERNELS else made


def _copy_weights(plain: keras.Model, aware: keras.Model, norms: dict[str, Any]) -> None:
    there = {layer.name: layer for layer in aware.layers}
    for layer in plain.layers:
        if layer.name not in there:  # a normalization that was folded
            continue
        target = there[layer.name]
        target = target.layer if isinstance(target, RoundedWeights) else target
        target.set_weights(folded_weights(layer, norms[layer.name]) if layer.name in norms else layer.get_weights())

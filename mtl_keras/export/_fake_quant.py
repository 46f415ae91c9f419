"""Layers that round as an 8-bit file will, while a model is trained for it."""

from typing import Any

import keras
from keras import ops

from mtl_keras.registry import PACKAGE

# the kernels of each layer class, and the axes along which every index has a scale of its own in a LiteRT file
KERNELS: dict[type, dict[str, tuple[int, ...]]] = {
    keras.layers.Dense: {"kernel": (-1,)},
    keras.layers.Conv1D: {"kernel": (-1,)},
    keras.layers.Conv2D: {"kernel": (-1,)},
    keras.layers.Conv2DTranspose: {"kernel": (-2,)},
    keras.layers.DepthwiseConv1D: {"kernel": (-2, -1)},
    keras.layers.DepthwiseConv2D: {"kernel": (-2, -1)},
    keras.layers.SeparableConv2D: {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
}
_SMALLEST = 1e-8  # largest weight of a channel of zeros


@keras.saving.register_keras_serializable(package=PACKAGE)
class RoundedWeights(keras.layers.Wrapper):
    """A layer that computes with its kernels rounded to 8 bits, symmetric, one scale per output channel.

    `round(w / s) s` with `s = max |w| / 127` over the channel; the gradient goes to `w` as if nothing was rounded.

    Args:
        layer: A layer of one of the classes in `KERNELS`.

    Example:
        >>> import numpy as np
        >>> layer = RoundedWeights(keras.layers.Dense(1, use_bias=False))
        >>> _ = layer.build((None, 2))
        >>> _ = layer.layer.kernel.assign([[1.27], [0.014]])
        >>> [[round(float(w), 4) for w in row] for row in layer(np.eye(2))]
        [[1.27], [0.01]]
    """

    def call(self, inputs: Any) -> Any:
        rounded = [(getattr(self.layer, name), self.rounded(name)) for name in KERNELS[type(self.layer)]]
        with keras.StatelessScope(rounded):
            return self.layer(inputs)

    def rounded(self, name: str) -> Any:
        """One of the layer's kernels as it is computed with."""
        kernel = ops.convert_to_tensor(getattr(self.layer, name))
        axes = sorted(axis % kernel.ndim for axis in KERNELS[type(self.layer)][name])
        others = [axis for axis in range(kernel.ndim) if axis not in axes]
        # the channels last, as one axis
        order = others + axes
        table = ops.reshape(ops.transpose(kernel, order), (-1, _size(kernel.shape, axes)))
        largest = ops.maximum(ops.max(ops.abs(table), axis=0), _SMALLEST)
        table = keras.quantizers.fake_quant_with_min_max_vars(
            table, -ops.stop_gradient(largest), ops.stop_gradient(largest), num_bits=8, narrow_range=True, axis=1
        )
        moved = ops.reshape(table, [kernel.shape[axis] for axis in order])
        return ops.transpose(moved, [order.index(axis) for axis in range(kernel.ndim)])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)


@keras.saving.register_keras_serializable(package=PACKAGE)
class ActivationRange(keras.layers.Layer):
    """Rounds activations to 8 bits between two limits, which training may stretch and shrink.

    The limits are `low exp(t_0)` and `high exp(t_1)`, with `low <= 0 <= high` as set and trained `t`, 0 at first: its
    steps mean the same in wide ranges and in narrow ones.

    Example:
        >>> import numpy as np
        >>> layer = ActivationRange()
        >>> _ = layer.build((None, 3))
        >>> layer.set_limits(0.0, 2.55)
        >>> [round(float(value), 4) for value in layer(np.array([[-1.0, 0.014, 9.0]]))[0]]
        [0.0, 0.01, 2.55]
    """

    def build(self, input_shape: Any) -> None:
        self.bounds = self.add_weight(shape=(2,), initializer="zeros", trainable=False, name="bounds")
        self.stretch = self.add_weight(shape=(2,), initializer="zeros", name="stretch")

    def set_limits(self, low: float, high: float) -> None:
        """Set the limits, and `t` to 0."""
        self.bounds.assign([min(low, 0.0), max(high, _SMALLEST)])
        self.stretch.assign([0.0, 0.0])

    def limits(self) -> tuple[Any, Any]:
        """The two limits as they are now."""
        both = self.bounds * ops.exp(self.stretch)
        return both[0], both[1]

    def call(self, inputs: Any) -> Any:
        low, high = self.limits()
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class FixedRange(keras.layers.Layer):
    """Tells LiteRT's converter the limits of an activation."""

    def __init__(self, low: float, high: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def call(self, inputs: Any) -> Any:
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, self.low, self.high, num_bits=8)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def is_aware(model: keras.Model) -> bool:
    """Whether a model holds layers of this file."""
    return any(isinstance(layer, (RoundedWeights, ActivationRange)) for layer in model.layers)


def baked(model: keras.Model, ranges: bool) -> keras.Model:
    """A plain graph that computes what a quantization-aware one does, with the rounded weights as its own.

    Args:
        model: A functional model with dict outputs.
        ranges: Whether activations are still rounded, for a converter to read the limits.
    """

    def plain(layer: Any) -> Any:
        if isinstance(layer, RoundedWeights):
            return type(layer.layer).from_config({**layer.layer.get_config(), "name": layer.name})
        if isinstance(layer, ActivationRange):
            low, high = (float(limit) for limit in layer.limits())
            return FixedRange(low, high, name=layer.name) if ranges else keras.layers.Identity(name=layer.name)
        return type(layer).from_config(layer.get_config()) if isinstance(layer, keras.layers.Layer) else layer

    made = keras.models.clone_model(keras.Model(model.input, dict(model.output), name=model.name), clone_function=plain)
    for layer in model.layers:
        if isinstance(layer, RoundedWeights):
            kernels = {id(getattr(layer.layer, name)): layer.rounded(name) for name in KERNELS[type(layer.layer)]}
            weights = [ops.convert_to_numpy(kernels.get(id(weight), weight)) for weight in layer.layer.weights]
            made.get_layer(layer.name).set_weights(weights)
        elif not isinstance(layer, ActivationRange):
            made.get_layer(layer.name).set_weights(layer.get_weights())
    return made


def _size(shape: Any, axes: list[int]) -> int:
    size = 1
    for axis in axes:
        size *= int(shape[axis])
    return size

"""A plain convolutional trunk."""

from collections.abc import Sequence
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.trunks.base import Stage, Trunk, register
from mtl_keras.trunks.checks import (
    End,
    checked_activation,
    checked_regularizer,
    choice,
    fraction,
    per_stage,
    positive_list,
    regularizer_config,
    spatial,
)

POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


@register("conv")
class Conv(Trunk):
    """Convolution, normalization, activation and pooling, once per stage; then flattened, then dense layers.

    Args:
        filters: Filters of each stage, default `(32, 64)`.
        kernel_size: Side of the square kernels, default 3; a list gives one per stage.
        pool: Side of the pooling window after each stage, default 2; a list gives one per stage, 1 is no pooling:
            `(1, 2)` pools only after the second of two stages.
        pooling: `"max"` (default) or `"average"`.
        padding: `"same"` (default) or `"valid"`, of the convolutions.
        batch_norm: Normalize between convolution and activation, default False; the convolutions have no bias then.
        activation: Name of the activation, default `"relu"`.
        output: What becomes of the last feature map: `"flatten"` (default), `"average"` over the image, or `"map"` for
            heads that work on feature maps.
        dense: Units of shared dense layers behind `output`, each with the activation, default none.
        dropout: Share of the outputs of each dense layer (without any: of the features) dropped in training, default 0.
        kernel_regularizer: Keras regularizer of every kernel, default none.

    Raises:
        ValueError: No stage, a size below 1, lists of different lengths, dense layers behind a map; when called, an
            image smaller than what a stage needs (named with both sizes).

    Shapes: images `[B, H, W, C]` to features `[B, F]`, or `[B, H', W', filters[-1]]` with `output="map"`. One stage per
    entry of `filters`; the last holds `output` and `dense` too. Layers are called `<name>_conv1`, `<name>_norm1`,
    `<name>_activation1`, `<name>_pool1`, `<name>_dense1`, ...

    The classic reference network of small multi-task models (convolutions of 64 and 128 filters, one average pooling,
    flattened) is `Conv((64, 128), pool=(1, 2), pooling="average", padding="valid")`:

    Example:
        >>> import keras
        >>> from mtl_keras import trunks
        >>> trunk = trunks.Conv((64, 128), pool=(1, 2), pooling="average", padding="valid")
        >>> x = keras.Input((16, 16, 3))
        >>> features = trunk(x)
        >>> features.shape, keras.Model(x, features).count_params()  # 1,792 + 73,856
        ((None, 4608), 75648)
    """

    def __init__(
        self,
        filters: Sequence[int] = (32, 64),
        kernel_size: int | Sequence[int] = 3,
        pool: int | Sequence[int] = 2,
        pooling: str = "max",
        padding: str = "same",
        batch_norm: bool = False,
        activation: str = "relu",
        output: str = "flatten",
        dense: int | Sequence[int] = (),
        dropout: float = 0.0,
        kernel_regularizer: Any = None,
    ):
        self.filters = positive_list("filters", filters)
        self.kernel_size = per_stage("kernel_size", kernel_size, self.filters)
        self.pool = per_stage("pool", pool, self.filters)
        self.pooling = choice("pooling", pooling, POOLINGS)
        self.padding = choice("padding", padding, ("same", "valid"))
        self.batch_norm = bool(batch_norm)
        self.activation = checked_activation(activation)
        self.output = choice("output", output, ("flatten", "average", "map"))
        self.dense = positive_list("dense", dense, may_be_empty=True)
        if self.dense and self.output == "map":
            raise ValueError(
                message("dense layers only behind a vector", "pass output='flatten'", output=output, dense=self.dense)
            )
        self.dropout = fraction("dropout", dropout)
        self.kernel_regularizer = checked_regularizer(kernel_regularizer)

    def stages(self, name: str = "trunk") -> list[Stage]:
        last = len(self.filters) - 1
        return [self._stage(name, index, is_last=index == last) for index in range(len(self.filters))]

    def _stage(self, name: str, index: int, is_last: bool) -> Stage:
        number, kernel, pool = index + 1, self.kernel_size[index], self.pool[index]
        layers: list[Any] = [
            keras.layers.Conv2D(
                self.filters[index],
                kernel,
                padding=self.padding,
                use_bias=not self.batch_norm,
                kernel_regularizer=self.kernel_regularizer,
                name=f"{name}_conv{number}",
            )
        ]
        if self.batch_norm:
            layers.append(keras.layers.BatchNormalization(name=f"{name}_norm{number}"))
        layers.append(keras.layers.Activation(self.activation, name=f"{name}_activation{number}"))
        if pool > 1:
            layers.append(POOLINGS[self.pooling](pool, name=f"{name}_pool{number}"))
        if is_last:
            layers.append(End(name, self.output, self.dense, self.activation, self.dropout, self.kernel_regularizer))
        needed = pool if self.padding == "same" else kernel - 1 + pool

        def run(features: Any) -> Any:
            spatial(f"stage {number} of trunks.Conv", features, needed)
            for layer in layers:
                features = layer(features)
            return features

        return run

    def get_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool": self.pool,
            "pooling": self.pooling,
            "padding": self.padding,
            "batch_norm": self.batch_norm,
            "activation": self.activation,
            "output": self.output,
            "dense": self.dense,
            "dropout": self.dropout,
            "kernel_regularizer": regularizer_config(self.kernel_regularizer),
        }

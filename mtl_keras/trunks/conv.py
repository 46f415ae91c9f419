"""A plain convolutional trunk."""

from collections.abc import Sequence
from typing import Any

import keras

from mtl_keras.errors import message
from mtl_keras.trunks.base import Stage, Trunk, register
from mtl_keras.trunks.checks import at_least, choice, finish, positive_list, regularizer_config, spatial

POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


@register("conv")
class Conv(Trunk):
    """Convolution, normalization, activation and pooling, once per stage; then flattened, then dense layers.

    Args:
        filters: Filters of each stage, default `(32, 64)`.
        kernel_size: Side of the square kernels, default 3.
        pool: Side of the pooling window after a stage, default 2; a list gives one per stage, 1 is no pooling.
        pooling: `"max"` (default) or `"average"`.
        padding: `"same"` (default) or `"valid"`, of the convolutions.
        batch_norm: Normalize between convolution and activation, default False; the convolutions have no bias then.
        activation: Name of the activation, default `"relu"`.
        output: What becomes of the last feature map: `"flatten"` (default), `"average"` over the image, or `"map"` for
            heads that work on feature maps.
        dense: Units of dense layers behind `output`, default none.
        dropout: Share of the outputs of each dense layer (without any: of the features) dropped in training, default 0.
        kernel_regularizer: Keras regularizer of every kernel, default none.

    Raises:
        ValueError: No stage, a size below 1, an image smaller than what a stage needs (named with both sizes).

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
        kernel_size: int = 3,
        pool: int | Sequence[int] = 2,
        pooling: str = "max",
        padding: str = "same",
        batch_norm: bool = False,
        activation: str = "relu",
        output: str = "flatten",
        dense: Sequence[int] = (),
        dropout: float = 0.0,
        kernel_regularizer: Any = None,
    ):
        self.filters = positive_list("filters", filters)
        self.kernel_size = at_least("kernel_size", kernel_size, 1)
        self.pool = positive_list("pool", [pool] * len(self.filters) if isinstance(pool, int) else pool)
        if len(self.pool) != len(self.filters):
            raise ValueError(
                message("one pooling size per stage", "pass as many as filters", filters=self.filters, pool=self.pool)
            )
        self.pooling = choice("pooling", pooling, POOLINGS)
        self.padding = choice("padding", padding, ("same", "valid"))
        self.batch_norm = bool(batch_norm)
        self.activation = keras.activations.serialize(keras.activations.get(activation))
        self.output = choice("output", output, ("flatten", "average", "map"))
        self.dense = positive_list("dense", dense, may_be_empty=True)
        if self.dense and self.output == "map":
            raise ValueError(message("dense layers only behind a vector", "pass output='flatten'", output=output))
        if not 0 <= dropout < 1:
            raise ValueError(message("dropout of at least 0 and below 1", "correct it", dropout=dropout))
        self.dropout = float(dropout)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def stages(self, name: str = "trunk") -> list[Stage]:
        last = len(self.filters) - 1
        return [self._stage(name, index, is_last=index == last) for index in range(len(self.filters))]

    def _stage(self, name: str, index: int, is_last: bool) -> Stage:
        number, pool = index + 1, self.pool[index]
        layers: list[keras.layers.Layer] = [
            keras.layers.Conv2D(
                self.filters[index],
                self.kernel_size,
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
            layers += finish(name, self.output, self.dense, self.activation, self.dropout, self.kernel_regularizer)
        lost = 0 if self.padding == "same" else self.kernel_size - 1

        def run(features: Any) -> Any:
            spatial(f"stage {number} of trunks.Conv", features, needed=lost + pool)
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

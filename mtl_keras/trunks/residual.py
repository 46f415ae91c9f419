"""A residual trunk of basic blocks."""

from collections.abc import Sequence
from typing import Any

import keras

from mtl_keras.trunks.base import Stage, Trunk, register
from mtl_keras.trunks.checks import (
    End,
    at_least,
    checked_regularizer,
    choice,
    fraction,
    per_stage,
    positive_list,
    regularizer_config,
    spatial,
)


@register("residual")
class Residual(Trunk):
    """Basic residual blocks `relu(x + norm(conv(relu(norm(conv(x))))))`, one stage per resolution.

    Args:
        filters: Filters of each stage, default `(32, 64, 128)`; from the second stage on the first block halves the
            resolution.
        blocks: Blocks per stage, default 2; a list gives one number per stage.
        stem: `"small"` (default): one 3x3 convolution, for images up to about 64x64; `"large"`: a 7x7 convolution and a
            3x3 max pooling, both with stride 2, for larger ones.
        output: `"average"` (default) over the image, `"flatten"`, or `"map"`.
        dropout: Share of the features dropped in training, default 0.0.
        kernel_regularizer: Keras regularizer of every kernel, default none.

    Raises:
        ValueError: No stage, a size below 1, lists of different lengths, an image smaller than a stage needs.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (blocks with activation after the sum;
    a 1x1 convolution on the shortcut where shapes differ).

    Example:
        >>> import keras
        >>> from mtl_keras import trunks
        >>> x = keras.Input((64, 64, 3))
        >>> trunks.Residual.resnet18(width=32)(x).shape
        (None, 256)
    """

    def __init__(
        self,
        filters: Sequence[int] = (32, 64, 128),
        blocks: int | Sequence[int] = 2,
        stem: str = "small",
        output: str = "average",
        dropout: float = 0.0,
        kernel_regularizer: Any = None,
    ):
        self.filters = positive_list("filters", filters)
        self.blocks = per_stage("blocks", blocks, self.filters)
        self.stem = choice("stem", stem, ("small", "large"))
        self.output = choice("output", output, ("average", "flatten", "map"))
        self.dropout = fraction("dropout", dropout)
        self.kernel_regularizer = checked_regularizer(kernel_regularizer)

    @classmethod
    def resnet18(cls, width: int = 64, **kwargs: Any) -> "Residual":
        """Four stages of two blocks with `width`, 2, 4 and 8 times `width` filters."""
        width = at_least("width", width, 1)
        return cls((width, 2 * width, 4 * width, 8 * width), 2, **kwargs)

    def stages(self, name: str = "trunk") -> list[Stage]:
        last = len(self.filters) - 1
        return [self._stage(name, index, is_last=index == last) for index in range(len(self.filters))]

    def _stage(self, name: str, index: int, is_last: bool) -> Stage:
        number = index + 1
        stem = self._stem(f"{name}_stem") if index == 0 else []
        filters_before = self.filters[index - 1] if index else self.filters[0]
        blocks = []
        for block in range(self.blocks[index]):
            stride = 2 if index and not block else 1
            before = filters_before if block == 0 else self.filters[index]
            blocks.append(self._block(f"{name}_stage{number}_block{block + 1}", before, self.filters[index], stride))
        end = [End(name, self.output, dropout=self.dropout)] if is_last else []
        needed = (4 if self.stem == "large" else 1) if index == 0 else 2

        def run(features: Any) -> Any:
            spatial(f"stage {number} of trunks.Residual", features, needed)
            for part in [*stem, *blocks, *end]:
                features = part(features)
            return features

        return run

    def _conv(self, filters: int, size: int, stride: int, name: str) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            kernel_regularizer=self.kernel_regularizer,
            name=name,
        )

    def _stem(self, name: str) -> list[keras.layers.Layer]:
        size, stride = (3, 1) if self.stem == "small" else (7, 2)
        layers: list[keras.layers.Layer] = [
            self._conv(self.filters[0], size, stride, f"{name}_conv"),
            keras.layers.BatchNormalization(name=f"{name}_norm"),
            keras.layers.ReLU(name=f"{name}_relu"),
        ]
        if self.stem == "large":
            layers.append(keras.layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool"))
        return layers

    def _block(self, name: str, filters_before: int, filters: int, stride: int) -> Stage:
        main = [
            self._conv(filters, 3, stride, f"{name}_conv1"),
            keras.layers.BatchNormalization(name=f"{name}_norm1"),
            keras.layers.ReLU(name=f"{name}_relu1"),
            self._conv(filters, 3, 1, f"{name}_conv2"),
            keras.layers.BatchNormalization(name=f"{name}_norm2"),
        ]
        shortcut: list[keras.layers.Layer] = []
        if stride > 1 or filters_before != filters:
            shortcut = [
                self._conv(filters, 1, stride, f"{name}_shortcut"),
                keras.layers.BatchNormalization(name=f"{name}_shortcut_norm"),
            ]
        add, relu = keras.layers.Add(name=f"{name}_add"), keras.layers.ReLU(name=f"{name}_relu2")

        def run(features: Any) -> Any:
            around = features
            for layer in shortcut:
                around = layer(around)
            for layer in main:
                features = layer(features)
            return relu(add([around, features]))

        return run

    def get_config(self) -> dict[str, Any]:
        return {
            "filters": self.filters,
            "blocks": self.blocks,
            "stem": self.stem,
            "output": self.output,
            "dropout": self.dropout,
            "kernel_regularizer": regularizer_config(self.kernel_regularizer),
        }

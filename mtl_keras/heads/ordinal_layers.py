"""The two layers of a cumulative link: ordered thresholds, and class probabilities."""

from typing import Any

import keras
import numpy as np
from keras import ops

from mtl_keras.registry import PACKAGE

# keeps neighbouring thresholds apart, and with them the loss of the class between them finite
SMALLEST_STEP = 1e-3


@keras.saving.register_keras_serializable(package=PACKAGE)
class OrderedThresholds(keras.layers.Layer):
    """Cumulative logits `u_k = score - theta_k`, [B, 1] to [B, C - 1], falling with k.

    `theta_0 = r_0` and `theta_k = theta_{k-1} + softplus(r_k) + 0.001` with trained `r` [C - 1], so that the thresholds
    rise whatever `r` is. They start at the quantiles `log((k + 1) / (C - k - 1))`, where a score of 0 makes all classes
    equally likely.

    Args:
        num_classes: C, at least 2.

    Example:
        >>> layer = OrderedThresholds(3)
        >>> [round(float(logit), 4) for logit in layer(np.zeros((1, 1)))[0]]
        [0.6931, -0.6931]
    """

    def __init__(self, num_classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        ranks = np.arange(1, self.num_classes)
        thresholds = np.log(ranks / (self.num_classes - ranks))
        steps = np.diff(thresholds) - SMALLEST_STEP
        start = np.concatenate([thresholds[:1], np.log(np.expm1(steps))])  # the inverse of softplus
        self.steps = self.add_weight(
            shape=start.shape, initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype), name="steps"
        )

    def thresholds(self) -> Any:
        """`theta`, float32 [C - 1], rising."""
        steps = ops.convert_to_tensor(self.steps)
        return ops.cumsum(ops.concatenate([steps[:1], ops.softplus(steps[1:]) + SMALLEST_STEP]))

    def call(self, inputs: Any) -> Any:
        return inputs - self.thresholds()

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.num_classes - 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package=PACKAGE)
class OrderedProbabilities(keras.layers.Layer):
    """Class probabilities [B, C] from cumulative logits `u` [B, C - 1] with `P(y > k) = sigmoid(u_k)`.

    `P(k) = sigmoid(u_{k-1}) - sigmoid(u_k)`, computed as `sigmoid(u_{k-1}) sigmoid(-u_k) (1 - exp(u_k - u_{k-1}))`: a
    product of numbers that are not negative, where the difference could be by rounding, and exact in the tails.

    Example:
        >>> [round(float(p), 3) for p in OrderedProbabilities()(np.array([[0.6931, -0.6931]]))[0]]
        [0.333, 0.333, 0.333]
    """

    def call(self, inputs: Any) -> Any:
        above, below = ops.sigmoid(inputs), ops.sigmoid(-inputs)
        # 1 - exp(-step) = 2 t / (1 + t), t = tanh(step / 2): exact for small steps, and LiteRT has no expm1
        half = ops.tanh(0.5 * ops.relu(inputs[:, :-1] - inputs[:, 1:]))
        between = above[:, :-1] * below[:, 1:] * (2.0 * half / (1.0 + half))
        return ops.concatenate([below[:, :1], between, above[:, -1:]], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], input_shape[-1] + 1)  # type: ignore[operator]

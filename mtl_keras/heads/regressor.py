"""Numbers in the user's units."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.heads.base import register
from mtl_keras.heads.dense import DenseHead, per_value, whole_number
from mtl_keras.heads.reading import LabelMean, labels_like
from mtl_keras.registry import PACKAGE

LOSSES = ("mse", "mae", "huber")


@register("regressor")
class Regressor(DenseHead):
    """N numbers in the user's units: `output = mean + std * z`, `z = W h + b`, trained on `(y - mean) / std` against z.

    Scaled targets keep the losses of tasks in years, metres and euros alike in size; predictions and errors stay in the
    user's units. Labels are numbers of any dtype, shape [B, N] (or [B] for N = 1); NaN means "no label". The output is
    float32 [B, N].

    Args:
        units: N, the number of values, default 1.
        mean: What is subtracted from the labels, in their unit: one number or one per value, default 0.0.
        std: What they are divided by then, above 0: one number or one per value, default 1.0. See `fit_scale`.
        unit: Name of the unit, e.g. `"years"`: one text or one per value, default `""`.
        hidden: Units of hidden layers between features and values, default none.
        dropout: Share of the hidden units (without hidden layers: of the features) dropped in training, default 0.0.
        loss: With `d = z - (y - mean) / std`: `"mse"` (default) for `d^2`, `"mae"` for `|d|`, `"huber"` for `d^2 / 2`
            up to `|d| = huber_delta`, a straight line of the same slope beyond.
        huber_delta: Where Huber's loss turns straight, in standard deviations, above 0, default 1.0.
        activation: Name of the hidden layers' activation, default `"relu"`.
        kernel_regularizer: Keras regularizer (name, config or instance) of every kernel, default none.

    Metrics, in the user's units: `mae` (the best is the lowest) and `rmse`.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import keras
        >>> from mtl_keras import heads
        >>> head = heads.Regressor(unit="years").fit_scale([20.0, 40.0, float("nan")])
        >>> head.mean, head.std
        (30.0, 10.0)
        >>> head.loss_target([50.0]).numpy().tolist()
        [2.0]

    Huber's loss: Huber, Robust Estimation of a Location Parameter, Ann. Math. Statist. 1964.
    """

    kind = "regression"
    missing = float("nan")

    def __init__(
        self,
        units: int = 1,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        unit: str | Sequence[str] = "",
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        loss: str = "mse",
        huber_delta: float = 1.0,
        activation: str = "relu",
        kernel_regularizer: Any = None,
    ):
        super().__init__(hidden, dropout, activation, kernel_regularizer)
        self.units = whole_number(units)
        if self.units < 1:
            raise ValueError(message("a whole number of values, at least 1", "pass units=1", units=units))
        self.mean = per_value("mean", mean, self.units)
        if not np.all(np.isfinite(self.mean)):
            raise ValueError(message("a finite mean", "call fit_scale(targets)", mean=self.mean))
        self.std = per_value("std", std, self.units)
        # numbers below the normal range of float32 would count as 0
        if not np.all(np.isfinite(self.std)) or np.min(self.std) < np.finfo("float32").tiny:
            raise ValueError(message("a finite std above 0", "call fit_scale(targets)", std=self.std))
        self.unit = unit if isinstance(unit, str) else list(unit)
        if isinstance(self.unit, list) and len(self.unit) != units:
            raise ValueError(message(f"one unit, or a list of {units}", "correct the list", unit=self.unit))
        if loss not in LOSSES:
            raise ValueError(message(f"a loss among {', '.join(LOSSES)}", "choose one", loss=loss))
        self.loss_name = loss
        if not 0 < huber_delta < float("inf"):
            raise ValueError(message("a finite huber_delta above 0", "correct it", huber_delta=huber_delta))
        self.huber_delta = float(huber_delta)

    def fit_scale(self, targets: Any) -> "Regressor":
        """The same head with mean and standard deviation of these targets.

        Args:
            targets: Labels of the *training* examples, [N_examples] or [N_examples, units]; NaN are left out.

        Returns:
            A new head. Targets that do not vary (a standard deviation below float32's resolution of their mean) get
            std 1.0: their scale is unknown, and dividing by next to nothing would blow up rounding errors.

        Raises:
            ValueError: The shape does not fit, a target is infinite, or a value has no label at all.
        """
        given = np.asarray(targets, dtype="float64")
        table = given[:, None] if given.ndim == 1 else given
        if table.ndim != 2 or table.shape[1] != self.units:
            raise ValueError(
                message(f"targets of shape [N, {self.units}]", "give every example one per value", shape=given.shape)
            )
        if np.any(np.isinf(table)):
            where = tuple(int(index) for index in np.argwhere(np.isinf(table))[0])
            raise ValueError(message("finite targets, or NaN", "correct the row", row=where[0], column=where[1]))
        labelled = np.sum(~np.isnan(table), axis=0)
        if np.any(labelled == 0):
            raise ValueError(
                message("a label for every value", "label some, or leave the value out", labelled=labelled.tolist())
            )
        mean, std = np.nanmean(table, axis=0), np.nanstd(table, axis=0)
        std = np.where(std <= np.finfo("float32").eps * np.abs(mean), 1.0, std)
        if self.units == 1:
            scale = {"mean": float(mean[0]), "std": float(std[0])}
        else:
            scale = {"mean": mean.tolist(), "std": std.tolist()}
        return type(self).from_config({**self.get_config(), **scale})  # type: ignore[return-value]

    def __call__(self, features: Any, name: str) -> Any:
        if keras.config.image_data_format() == "channels_first" and self.units > 1:
            raise ValueError(
                message(
                    f"data format channels_last for task {name!r} (else Rescaling takes the values for channels)",
                    "set it, or use one Regressor per value",
                    image_data_format="channels_first",
                )
            )
        scaled = self.project(self.transform(features, name), self.units, f"{name}_scaled")
        return keras.layers.Rescaling(self.std, self.mean, dtype="float32", name=name)(scaled)

    def loss_target(self, labels: Any) -> tf.Tensor:
        # in float64: a large mean would take the digits of float32 labels' differences
        labels = tf.cast(labels, tf.float64)
        return tf.cast((labels - tf.constant(self.mean, tf.float64)) / tf.constant(self.std, tf.float64), tf.float32)

    def loss(self) -> keras.losses.Loss:
        return ScaledError(self.loss_name, self.huber_delta)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [AbsoluteError(), RootMeanSquareError()]

    @property
    def best(self) -> tuple[str, str]:
        return "mae", "min"

    def describe(self) -> dict[str, Any]:
        def each(value: Any) -> list[Any]:
            return list(value) if isinstance(value, list) else [value] * self.units

        scale = {"mean": each(self.mean), "std": each(self.std)}
        return {"kind": self.kind, "units": each(self.unit), **scale, "shape": [self.units]}

    def get_config(self) -> dict[str, Any]:
        return {
            "units": self.units,
            "mean": self.mean,
            "std": self.std,
            "unit": self.unit,
            "loss": self.loss_name,
            "huber_delta": self.huber_delta,
            **super().get_config(),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class ScaledError(keras.losses.Loss):
    """`d^2`, `|d|` or Huber's function of `d = prediction - target`, both scaled and [B, N], to values [B, N].

    Example:
        >>> ScaledError("huber").call([[0.0, 0.0]], [[0.5, 3.0]]).numpy().tolist()
        [[0.125, 2.5]]
    """

    def __init__(
        self,
        error: str = "mse",
        huber_delta: float = 1.0,
        name: str = "scaled_error",
        reduction: str = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.error = error
        self.huber_delta = huber_delta

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        prediction = tf.cast(y_pred, tf.float32)
        difference = prediction - labels_like(y_true, prediction)
        if self.error == "mse":
            return tf.square(difference)
        size = tf.abs(difference)
        if self.error == "mae":
            return size
        curved = tf.minimum(size, self.huber_delta)  # nothing is squared that is large: no overflow
        return 0.5 * tf.square(curved) + self.huber_delta * (size - curved)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "error": self.error, "huber_delta": self.huber_delta}


@keras.saving.register_keras_serializable(package=PACKAGE)
class AbsoluteError(LabelMean):
    """Mean absolute error over the labels that exist, in their unit; NaN labels are missing.

    Example:
        >>> metric = AbsoluteError()
        >>> metric.update_state([[1.0], [float("nan")]], [[3.0], [9.0]])
        >>> float(metric.result())
        2.0
    """

    def __init__(self, name: str = "mae", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = tf.cast(y_pred, tf.float32)
        labels = labels_like(y_true, prediction)
        self.add(tf.abs(prediction - labels), ~tf.math.is_nan(labels), sample_weight)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RootMeanSquareError(LabelMean):
    """Root of the mean squared error over the labels that exist, in their unit; NaN labels are missing.

    Example:
        >>> metric = RootMeanSquareError()
        >>> metric.update_state([[0.0], [0.0]], [[1.0], [7.0]])
        >>> float(metric.result())
        5.0
    """

    def __init__(self, name: str = "rmse", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        prediction = tf.cast(y_pred, tf.float32)
        labels = labels_like(y_true, prediction)
        self.add(tf.square(prediction - labels), ~tf.math.is_nan(labels), sample_weight)

    def result(self) -> tf.Tensor:
        return tf.sqrt(tf.convert_to_tensor(super().result()))

"""Many yes-or-no attributes in one output."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.heads.base import register
from mtl_keras.heads.dense import DenseHead, counted_labels, fraction, per_value, shown_labels
from mtl_keras.heads.label_metrics import LabelAccuracy, LabelF1
from mtl_keras.heads.reading import labels_like
from mtl_keras.registry import PACKAGE


@register("multi_label")
class MultiLabel(DenseHead):
    """A yes-or-no attributes at once: `p = sigmoid(W h + b)`, one matrix product, one loss and metric for all of them.

    Labels are 0 or 1 of any dtype, shape [B, A] (or [B] for A = 1); NaN and -1 mean "no label" for that attribute of
    that example. Values between 0 and 1 train as soft labels; metrics take them as 1 from 0.5 on. The output is float32
    [B, A], probabilities.

    Args:
        num_labels: A, at least 1. May be left out where `labels` is given.
        labels: Names of the attributes in output order, default "0", "1", ....
        hidden: Units of hidden layers between features and logits, default none.
        dropout: Share of the hidden units (without hidden layers: of the features) dropped in training, default 0.0.
        label_smoothing: `s` in `(1 - s) * y + s / 2`, what the loss compares with; in [0, 1), default 0.0.
        pos_weight: What the loss of a positive label is multiplied by, above 0: one number or one per
            attribute, default 1.0. The number of negatives over that of positives balances an attribute.
        thresholds: The probability above which an attribute counts as present, in metrics and in the manifest: one
            number or one per attribute, default 0.5.
        activation: Name of the hidden layers' activation, default `"relu"`.
        kernel_regularizer: Keras regularizer (name, config or instance) of every kernel, default none.

    Metrics: `f1` (macro F1; it decides, as accuracy flatters a head that always says no to rare attributes) and
    `accuracy`; `metric.per_label()` gives either one by attribute.

    Raises:
        ValueError: An argument is out of its range, or `num_labels` and `labels` disagree.

    Example:
        >>> import keras
        >>> from mtl_keras import heads
        >>> head = heads.MultiLabel(labels=["smiling", "hat"], thresholds=[0.5, 0.3])
        >>> head(keras.Input((16,)), "face").shape
        (None, 2)
        >>> head.describe()["thresholds"]
        [0.5, 0.3]
    """

    kind = "multilabel"
    missing = -1.0

    def __init__(
        self,
        num_labels: int | None = None,
        labels: Sequence[str] | None = None,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        pos_weight: float | Sequence[float] = 1.0,
        thresholds: float | Sequence[float] = 0.5,
        activation: str = "relu",
        kernel_regularizer: Any = None,
    ):
        super().__init__(hidden, dropout, activation, kernel_regularizer)
        self.num_labels, self.labels = counted_labels("num_labels", num_labels, labels, at_least=1)
        self.label_smoothing = fraction("label_smoothing", label_smoothing)
        self.pos_weight = per_value("pos_weight", pos_weight, self.num_labels)
        if not all(0 < weight < float("inf") for weight in _list_of(self.pos_weight)):
            raise ValueError(message("finite weights above 0", "correct them", pos_weight=self.pos_weight))
        self.thresholds = per_value("thresholds", thresholds, self.num_labels)
        if not all(0 <= threshold <= 1 for threshold in _list_of(self.thresholds)):
            raise ValueError(message("thresholds from 0 to 1", "correct them", thresholds=self.thresholds))

    def __call__(self, features: Any, name: str) -> Any:
        logits = self.project(self.transform(features, name), self.num_labels, f"{name}_logits")
        return keras.layers.Activation("sigmoid", dtype="float32", name=name)(logits)

    def loss(self) -> keras.losses.Loss:
        return LabelCrossentropy(self.label_smoothing, self.pos_weight)

    def metrics(self) -> list[keras.metrics.Metric]:
        labels = shown_labels(self.num_labels, self.labels)
        return [LabelF1(labels, self.thresholds), LabelAccuracy(labels, self.thresholds)]

    @property
    def best(self) -> tuple[str, str]:
        return "f1", "max"

    @property
    def label_range(self) -> tuple[float, float]:
        return 0.0, 1.0

    def describe(self) -> dict[str, Any]:
        thresholds = self.thresholds
        return {
            "kind": self.kind,
            "labels": shown_labels(self.num_labels, self.labels),
            "thresholds": thresholds if isinstance(thresholds, list) else [thresholds] * self.num_labels,
            "shape": [self.num_labels],
        }

    def get_config(self) -> dict[str, Any]:
        return {
            "num_labels": self.num_labels,
            "labels": self.labels,
            "label_smoothing": self.label_smoothing,
            "pos_weight": self.pos_weight,
            "thresholds": self.thresholds,
            **super().get_config(),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class LabelCrossentropy(keras.losses.Loss):
    """`-w t log sigmoid(z) - (1 - t) log sigmoid(-z)`, `t = (1 - s) y + s / 2`: labels, logits [B, A] to values [B, A].

    Written with softplus, whose gradient is right everywhere; that of `tf.nn.weighted_cross_entropy_with_logits` is
    wrong at a logit of exactly 0.

    Example:
        >>> values = LabelCrossentropy(pos_weight=2.0).call([[1.0, 0.0]], [[0.0, 0.0]])
        >>> [round(float(value), 4) for value in values[0]]
        [1.3863, 0.6931]
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        pos_weight: float | list[float] = 1.0,
        name: str = "label_crossentropy",
        reduction: str = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.label_smoothing = label_smoothing
        self.pos_weight = pos_weight

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        logits = tf.cast(y_pred, tf.float32)
        truth = labels_like(y_true, logits) * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        positive = tf.constant(self.pos_weight, tf.float32) * truth * tf.math.softplus(-logits)
        return positive + (1.0 - truth) * tf.math.softplus(logits)

    def get_config(self) -> dict[str, Any]:
        config = {"label_smoothing": self.label_smoothing, "pos_weight": self.pos_weight}
        return {**super().get_config(), **config}


def _list_of(value: float | list[float]) -> list[float]:
    return value if isinstance(value, list) else [value]

"""Accuracy and F1 of many attributes at once, and of each one on request."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.heads.reading import label_weights, labels_like
from mtl_keras.registry import PACKAGE


class PerLabelMetric(keras.metrics.Metric):
    """Base: weighted counts per attribute in one variable [`counts`, A]; the result is the mean over attributes.

    Args:
        labels: Names of the A attributes.
        thresholds: Probability above which an attribute counts as present, one number or one per attribute.

    Labels below 0 and NaN are missing; `sample_weight` is [B] or [B, A].
    """

    counts = 2

    def __init__(
        self, labels: Sequence[str], thresholds: float | Sequence[float] = 0.5, name: str = "", dtype: Any = None
    ):
        super().__init__(name=name, dtype=dtype)
        self.labels = tuple(labels)
        self.thresholds = tuple(thresholds) if isinstance(thresholds, Sequence) else float(thresholds)
        self.state = self.add_variable((self.counts, len(self.labels)), "zeros", dtype="float32", name="state")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        probabilities = tf.cast(y_pred, tf.float32)
        labels = labels_like(y_true, probabilities)
        weights = label_weights(labels >= 0.0, sample_weight)  # NaN >= 0 is false
        predicted = probabilities > tf.constant(self.thresholds, tf.float32)
        rows = self.count(labels >= 0.5, predicted, weights)
        self.state.assign_add(tf.stack([tf.reduce_sum(row, axis=0) for row in rows]))

    def result(self) -> tf.Tensor:
        """The mean over the attributes that have a value; 0 where none has."""
        values, known = self.by_label()
        return tf.math.divide_no_nan(tf.reduce_sum(values), tf.reduce_sum(tf.cast(known, tf.float32)))

    def per_label(self) -> dict[str, float]:
        """The value of each attribute that has one, by its name."""
        values, known = (keras.ops.convert_to_numpy(tensor) for tensor in self.by_label())
        return {label: float(v) for label, v, k in zip(self.labels, values, known, strict=True) if k}

    def count(self, truth: tf.Tensor, predicted: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        """What to add up for truth, prediction (bool [B, A]) and weights (float32 [B, A]): `counts` tensors [B, A]."""
        raise TypeError(f"{type(self).__name__} is no complete metric: define count")

    def by_label(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Values [A] (0 where there is none) and which attributes have one, bool [A]."""
        raise TypeError(f"{type(self).__name__} is no complete metric: define by_label")

    def get_config(self) -> dict[str, Any]:
        thresholds = list(self.thresholds) if isinstance(self.thresholds, tuple) else self.thresholds
        return {**super().get_config(), "labels": list(self.labels), "thresholds": thresholds}


@keras.saving.register_keras_serializable(package=PACKAGE)
class LabelAccuracy(PerLabelMetric):
    """Share of right answers per attribute, averaged over the attributes that have a label.

    Example:
        >>> metric = LabelAccuracy(["hat", "beard"])
        >>> metric.update_state([[1.0, 0.0], [0.0, float("nan")]], [[0.9, 0.2], [0.7, 0.1]])
        >>> float(metric.result()), metric.per_label()
        (0.75, {'hat': 0.5, 'beard': 1.0})
    """

    counts = 2  # right answers, labels

    def __init__(
        self,
        labels: Sequence[str],
        thresholds: float | Sequence[float] = 0.5,
        name: str = "accuracy",
        dtype: Any = None,
    ):
        super().__init__(labels, thresholds, name, dtype)

    def count(self, truth: tf.Tensor, predicted: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        return [tf.where(truth == predicted, weights, 0.0), weights]

    def by_label(self) -> tuple[tf.Tensor, tf.Tensor]:
        right, labels = tf.unstack(tf.convert_to_tensor(self.state))
        return tf.math.divide_no_nan(right, labels), labels > 0.0


@keras.saving.register_keras_serializable(package=PACKAGE)
class LabelF1(PerLabelMetric):
    """Macro F1: `2 TP / (2 TP + FP + FN)` per attribute, averaged over the attributes that have a positive label.

    Without a positive label F1 is 0 or 0 / 0 whatever the head says, so such an attribute is left out (scikit-learn
    counts it as 0).

    Example:
        >>> metric = LabelF1(["hat", "beard"])
        >>> metric.update_state([[1.0, 0.0], [1.0, 0.0]], [[0.9, 0.2], [0.1, 0.8]])
        >>> round(float(metric.result()), 4), sorted(metric.per_label())
        (0.6667, ['hat'])
    """

    counts = 3  # true positives, false positives, false negatives

    def __init__(
        self, labels: Sequence[str], thresholds: float | Sequence[float] = 0.5, name: str = "f1", dtype: Any = None
    ):
        super().__init__(labels, thresholds, name, dtype)

    def count(self, truth: tf.Tensor, predicted: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
        outcomes = [truth & predicted, ~truth & predicted, truth & ~predicted]
        return [tf.where(outcome, weights, 0.0) for outcome in outcomes]

    def by_label(self) -> tuple[tf.Tensor, tf.Tensor]:
        hits, false_alarms, misses = tf.unstack(tf.convert_to_tensor(self.state))
        known = hits + misses > 0.0
        values = tf.math.divide_no_nan(2.0 * hits, 2.0 * hits + false_alarms + misses)
        return tf.where(known, values, 0.0), known

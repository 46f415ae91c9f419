"""One class out of several."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.heads.base import register
from mtl_keras.heads.dense import DenseHead, counted_labels, fraction, shown_labels
from mtl_keras.heads.reading import LabelMean, are_probabilities, class_ids
from mtl_keras.registry import PACKAGE


@register("classifier")
class Classifier(DenseHead):
    """One class out of C: `p = softmax(W h + b)`, trained with cross-entropy on the logits.

    Labels are class ids 0 to C - 1 of any dtype, shape [B] or [B, 1]; -1 and NaN mean "no label". Class probabilities
    [B, C], as of blended examples, serve as well. The output is float32 [B, C], probabilities.

    Args:
        num_classes: C, at least 2. May be left out where `labels` is given.
        labels: Names of the classes in the order of their ids, default "0", "1", ....
        hidden: Units of hidden layers between features and logits, default none.
        dropout: Share of the hidden units (without hidden layers: of the features) dropped in training, default 0.0.
        label_smoothing: `s` in `(1 - s) * one_hot + s / C`, what the loss compares with; in [0, 1), default 0.0.
        activation: Name of the hidden layers' activation, default `"relu"`.
        kernel_regularizer: Keras regularizer (name, config or instance) of every kernel, default none.

    Metrics: `accuracy` (the best is the highest).

    Raises:
        ValueError: An argument is out of its range, or `num_classes` and `labels` disagree.

    Example:
        >>> import keras
        >>> from mtl_keras import heads
        >>> head = heads.Classifier(labels=["red", "green", "blue"])
        >>> head(keras.Input((16,)), "colour").shape
        (None, 3)
        >>> head.describe()
        {'kind': 'classification', 'labels': ['red', 'green', 'blue'], 'shape': [3]}

    Label smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016.
    """

    kind = "classification"
    missing = -1.0

    def __init__(
        self,
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        activation: str = "relu",
        kernel_regularizer: Any = None,
    ):
        super().__init__(hidden, dropout, activation, kernel_regularizer)
        self.num_classes, self.labels = counted_labels("num_classes", num_classes, labels, at_least=2)
        self.label_smoothing = fraction("label_smoothing", label_smoothing)

    def __call__(self, features: Any, name: str) -> Any:
        logits = self.project(self.transform(features, name), self.num_classes, f"{name}_logits")
        return keras.layers.Softmax(dtype="float32", name=name)(logits)

    def loss(self) -> keras.losses.Loss:
        return ClassCrossentropy(self.label_smoothing)

    def metrics(self) -> list[keras.metrics.Metric]:
        return [ClassAccuracy()]

    @property
    def best(self) -> tuple[str, str]:
        return "accuracy", "max"

    @property
    def label_range(self) -> tuple[float, float]:
        return 0.0, float(self.num_classes - 1)

    def describe(self) -> dict[str, Any]:
        labels = shown_labels(self.num_classes, self.labels)
        return {"kind": self.kind, "labels": labels, "shape": [self.num_classes]}

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "labels": self.labels,
            "label_smoothing": self.label_smoothing,
            **super().get_config(),
        }


@keras.saving.register_keras_serializable(package=PACKAGE)
class ClassCrossentropy(keras.losses.Loss):
    """`-sum_c t_c log softmax(z)_c` with `t = (1 - s) * one_hot(y) + s / C`: ids [B], logits [B, C] to values [B].

    Stock Keras smooths one-hot labels only, this one ids. Class probabilities [B, C] take the place of `one_hot(y)`.

    Example:
        >>> round(float(ClassCrossentropy().call([0], [[0.0, 0.0]])[0]), 4)
        0.6931
    """

    def __init__(
        self, label_smoothing: float = 0.0, name: str = "class_crossentropy", reduction: str = "sum_over_batch_size"
    ):
        super().__init__(name=name, reduction=reduction)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        logits = tf.cast(y_pred, tf.float32)
        labels, num_classes = tf.convert_to_tensor(y_true), logits.shape[-1]
        if are_probabilities(labels, num_classes, logits.shape.rank):
            truth = tf.cast(labels, tf.float32)
        else:
            ids = class_ids(labels, logits)
            if not self.label_smoothing:
                return tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
            truth = tf.one_hot(ids, num_classes)
        smoothed = truth * (1.0 - self.label_smoothing) + self.label_smoothing / num_classes
        return tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable(package=PACKAGE)
class ClassAccuracy(LabelMean):
    """Share of examples whose most likely class is the label's; ids below 0 are missing labels.

    Example:
        >>> metric = ClassAccuracy()
        >>> metric.update_state([1, 0, -1], [[0.2, 0.8], [0.4, 0.6], [0.5, 0.5]])
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        probabilities = tf.convert_to_tensor(y_pred)
        ids = class_ids(y_true, probabilities)
        self.add(ids == tf.argmax(probabilities, axis=-1, output_type=tf.int32), ids >= 0, sample_weight)

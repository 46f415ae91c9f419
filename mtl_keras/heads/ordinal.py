"""One class out of several that have an order."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.heads.base import register
from mtl_keras.heads.classifier import ClassAccuracy
from mtl_keras.heads.dense import DenseHead, counted_labels, shown_labels
from mtl_keras.heads.ordinal_layers import OrderedProbabilities, OrderedThresholds
from mtl_keras.heads.reading import LabelMean, are_probabilities, class_ids
from mtl_keras.registry import PACKAGE


@register("ordinal")
class Ordinal(DenseHead):
    """One of C ordered classes: `P(y > k) = sigmoid(w h - theta_k)`, `theta_0 < theta_1 < ...` (cumulative link).

    One projection `w h` serves all thresholds, and the thresholds are ordered by construction (a first one plus
    positive steps), so `P(y > k)` falls with k and no class gets a negative probability, before, in and after training.
    At the start every class is equally likely where `w h = 0`. Labels are class ids 0 to C - 1 in their order, of any
    dtype, shape [B] or [B, 1]; -1 and NaN mean "no label". Class probabilities [B, C], as of blended examples, serve as
    well. The output is float32 [B, C], probabilities of the classes.

    Args:
        num_classes: C, at least 2. May be left out where `labels` is given.
        labels: Names of the classes from lowest to highest, default "0", "1", ....
        hidden: Units of hidden layers between features and projection, default none.
        dropout: Share of the hidden units (without hidden layers: of the features) dropped in training, default 0.0.
        activation: Name of the hidden layers' activation, default `"relu"`.
        kernel_regularizer: Keras regularizer (name, config or instance) of every kernel (not of the thresholds),
            default none.

    Metrics: `mae`, how many ranks the most likely class lies off (the best is the lowest), and `accuracy`. Both judge
    the most likely class, which is what a reader of the output takes.

    Raises:
        ValueError: An argument is out of its range, or `num_classes` and `labels` disagree.

    Example:
        >>> import keras
        >>> from mtl_keras import heads
        >>> head = heads.Ordinal(labels=["mild", "moderate", "severe"])
        >>> head(keras.Input((16,)), "grade").shape
        (None, 3)

    Source: McCullagh, Regression Models for Ordinal Data, J. R. Statist. Soc. B 1980 (model and likelihood); Cao,
    Mirjalili, Raschka, Rank Consistent Ordinal Regression for Neural Networks (CORAL), Pattern Recognition Letters 2020
    (one shared projection on a network's features). Where we depart: CORAL leaves its C - 1 biases free, which end up
    ordered only at the optimum, trains the sum of C - 1 binary cross-entropies, and predicts the number of
    `P(y > k) > 1/2`; here the biases are always ordered, the loss is the likelihood of the class, and metrics take the
    most likely class.
    """

    kind = "ordinal"
    missing = -1.0

    def __init__(
        self,
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        activation: str = "relu",
        kernel_regularizer: Any = None,
    ):
        super().__init__(hidden, dropout, activation, kernel_regularizer)
        self.num_classes, self.labels = counted_labels("num_classes", num_classes, labels, at_least=2)

    def __call__(self, features: Any, name: str) -> Any:
        # no bias: the first threshold is one
        score = self.project(self.transform(features, name), 1, f"{name}_score", use_bias=False)
        logits = OrderedThresholds(self.num_classes, dtype="float32", name=f"{name}_logits")(score)
        return OrderedProbabilities(dtype="float32", name=name)(logits)

    def loss(self) -> keras.losses.Loss:
        return OrdinalLikelihood()

    def metrics(self) -> list[keras.metrics.Metric]:
        return [RankError(), ClassAccuracy()]

    @property
    def best(self) -> tuple[str, str]:
        return "mae", "min"

    @property
    def label_range(self) -> tuple[float, float]:
        return 0.0, float(self.num_classes - 1)

    def describe(self) -> dict[str, Any]:
        labels = shown_labels(self.num_classes, self.labels)
        return {"kind": self.kind, "labels": labels, "shape": [self.num_classes]}

    def get_config(self) -> dict[str, Any]:
        return {"num_classes": self.num_classes, "labels": self.labels, **super().get_config()}


@keras.saving.register_keras_serializable(package=PACKAGE)
class OrdinalLikelihood(keras.losses.Loss):
    """`-log P(y)` of the cumulative link: ids [B], cumulative logits `u` [B, C - 1] to values [B].

    With `P(y > k) = sigmoid(u_k)`: `log P(0) = log sigmoid(-u_0)`, `log P(C - 1) = log sigmoid(u_{C-2})`, and between
    `log P(k) = log sigmoid(u_{k-1}) + log sigmoid(-u_k) + log(1 - exp(u_k - u_{k-1}))`, which never takes the logarithm
    of a difference of two sigmoids: finite, with the right gradient, however large the logits are.

    Example:
        >>> values = OrdinalLikelihood().call([0, 2], [[0.0, -1.0], [100.0, 0.0]])
        >>> [round(float(value), 4) for value in values]
        [0.6931, 0.6931]
    """

    # steps between logits below this have drowned in the rounding of large logits
    smallest_step = 1e-6

    def __init__(self, name: str = "ordinal_likelihood", reduction: str = "sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        logits = tf.cast(y_pred, tf.float32)
        above, below = -tf.math.softplus(-logits), -tf.math.softplus(logits)  # log P(y > k), log P(y <= k)
        steps = tf.maximum(logits[:, :-1] - logits[:, 1:], self.smallest_step)
        between = above[:, :-1] + below[:, 1:] + tf.math.log(-tf.math.expm1(-steps))
        log_probabilities = tf.concat([below[:, :1], between, above[:, -1:]], axis=-1)
        labels = tf.convert_to_tensor(y_true)
        if are_probabilities(labels, log_probabilities.shape[-1], logits.shape.rank):
            # what has no share must not enter, even as infinity times 0
            return -tf.reduce_sum(tf.math.multiply_no_nan(log_probabilities, tf.cast(labels, tf.float32)), axis=-1)
        return -tf.gather(log_probabilities, class_ids(labels, logits), batch_dims=1)


@keras.saving.register_keras_serializable(package=PACKAGE)
class RankError(LabelMean):
    """Mean distance in ranks between the most likely class and the label's; ids below 0 are missing labels.

    Example:
        >>> metric = RankError()
        >>> metric.update_state([2, 1, -1], [[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [1.0, 0.0, 0.0]])
        >>> float(metric.result())
        1.0
    """

    def __init__(self, name: str = "mae", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        probabilities = tf.convert_to_tensor(y_pred)
        ids = class_ids(y_true, probabilities)
        likeliest = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
        self.add(tf.abs(likeliest - ids), ids >= 0, sample_weight)

"""TaskPlan: what `compile` decided for one task: its loss, its metrics, how labels are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.heads import Head
from mtl_keras.tasks import Task, checked_class_weight
from mtl_keras.training.known_losses import is_of_library, is_yes_or_no, label_shapes

_NAN = float("nan")


@dataclass
class TaskPlan:
    """One trained task, resolved.

    Attributes:
        name: The task.
        loss: Keras loss; its `call` gives one value per label.
        kind: The head's kind; `"classification"` or `"regression"`, by the loss, where there is no head.
        reads_last_input: The loss reads what the output's last layer reads (logits), not the output.
        to_target: Labels to what the loss compares with.
        target_way: What decides `to_target`: where it is equal, so are targets of equal labels.
        missing: Label value that means "no label", beside NaN; NaN for none.
        label_range: Lowest and highest label allowed, or None.
        class_ids: Whether labels are class ids, so whole numbers; class probabilities may stand for them.
        label_shapes: What one example's labels may be shaped like, or None where that is up to the loss.
        output_rank: How many axes the output has.
        divide_by_weights: Divide by the summed weights ("mean_with_sample_weight"), not by the number of labels.
        class_weight: `{class id: weight}` for the training loss, or None.
        metrics: Metrics that see every existing label with weight 1.
        weighted_metrics: Metrics that see the sample weights.
        best: Log key (without the task's name) that says which model is better, and `"max"` or `"min"`.
    """

    name: str
    loss: keras.losses.Loss
    kind: str
    reads_last_input: bool = False
    to_target: Callable[[Any], Any] = lambda labels: labels
    target_way: Any = None
    missing: float = _NAN
    label_range: tuple[float, float] | None = None
    class_ids: bool = False
    label_shapes: list[tuple[int | None, ...]] | None = None
    output_rank: int = 2
    divide_by_weights: bool = False
    class_weight: dict[int, float] | None = None
    metrics: list[keras.metrics.Metric] = field(default_factory=list)
    weighted_metrics: list[keras.metrics.Metric] = field(default_factory=list)
    best: tuple[str, str] = ("loss", "min")

    @property
    def harmless(self) -> float:
        """A label that the loss can digest, put where one is missing."""
        return self.label_range[0] if self.label_range else 0.0

    def direction_of(self, metric: keras.metrics.Metric) -> str:
        """Which values of one of the task's metrics are better, `"max"` or `"min"`."""
        return self.best[1] if metric.name == self.best[0] else direction(metric)

    def metrics_by_key(self) -> dict[str, keras.metrics.Metric]:
        """The task's metrics by log key."""
        named = {f"{self.name}_{metric.name}": metric for metric in self.metrics}
        for metric in self.weighted_metrics:
            key = f"{self.name}_{metric.name}"
            named[f"{self.name}_weighted_{metric.name}" if key in named else key] = metric
        return named

    @property
    def plain_loss(self) -> Any:
        """The loss as it was given, object or function."""
        return self.loss.function if isinstance(self.loss, _FunctionLoss) else self.loss

    def loss_values(self, labels: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
        """One loss value per label, not averaged."""
        return self.loss.call(self.to_target(labels), predicted)

    def class_weights(self, labels: tf.Tensor) -> tf.Tensor:
        """The weight of each label's class; 1 for classes that have none, the mean for class probabilities [B, C]."""
        assert self.class_weight is not None
        assert self.label_range is not None
        if self.are_probabilities(labels):
            table = [self.class_weight.get(label, 1.0) for label in range(int(self.label_range[1]) + 1)]
            return tf.linalg.matvec(tf.cast(labels, tf.float32), table)
        table = [self.class_weight.get(label, 1.0) for label in range(max(self.class_weight) + 1)]
        ids = tf.cast(labels, tf.int32)
        known = ids < len(table)
        return tf.where(known, tf.gather(table, tf.where(known, ids, 0)), 1.0)

    def are_probabilities(self, labels: Any) -> bool:
        """Whether labels have the shape of class probabilities [B, C], as those of blended examples, not of ids."""
        shape = tf.TensorShape(labels.shape)
        return self.label_range is not None and shape.rank == self.output_rank and shape[-1] == self.label_range[1] + 1


def plan_task(task: Task, output: Any, loss: Any, metrics: Any, weighted_metrics: Any, class_weight: Any) -> TaskPlan:
    """Resolve one task. `"auto"` takes the task's own setting, and that one's `"auto"` the head's."""
    head = task.head
    loss = task.loss if isinstance(loss, str) and loss == "auto" else loss
    automatic = isinstance(loss, str) and loss == "auto"
    if automatic and head is None:
        raise ValueError(
            message(
                f"a loss for task {task.name!r}, which has no head to bring one",
                "pass compile(loss={...}) with one entry per task, or None for an output that is not trained",
                loss=loss,
            )
        )
    resolved = head.loss() if automatic else _loss(task.name, loss)
    sparse = "sparse" in resolved.name
    if head is not None:
        plan = TaskPlan(task.name, resolved, head.kind, missing=head.missing, label_range=head.label_range)
        plan.class_ids = head.label_range is not None and head.kind in ("classification", "ordinal")
        plan.reads_last_input = automatic and head.loss_reads == "last_input"
        if automatic:
            plan.to_target, plan.target_way = head.loss_target, _target_way(head)
        plan.best = head.best
    else:
        plan = TaskPlan(task.name, resolved, "classification" if "crossentropy" in resolved.name else "regression")
        if sparse:
            plan.missing, plan.label_range, plan.class_ids = -1.0, (0.0, float(output.shape[-1] - 1)), True
        elif is_yes_or_no(plan.plain_loss):
            plan.label_range = 0.0, 1.0
    if not automatic:
        plan.to_target, plan.target_way = _as_float, _as_float
        plan.label_shapes = label_shapes(plan.plain_loss, tuple(output.shape[1:]))
    plan.output_rank = len(output.shape)
    plan.divide_by_weights = resolved.reduction == "mean_with_sample_weight"
    weights = class_weight if class_weight is not None else task.class_weight
    if weights is not None:
        plan.class_weight = _class_weight(plan, weights)
    chosen = task.metrics if isinstance(metrics, str) and metrics == "auto" else metrics
    if isinstance(chosen, str) and chosen == "auto":
        plan.metrics = head.metrics() if head is not None else []
    else:
        plan.metrics = [_metric(plan, m, output) for m in _listed(chosen)]
        plan.best = (plan.metrics[0].name, direction(plan.metrics[0])) if plan.metrics else ("loss", "min")
    plan.weighted_metrics = [_metric(plan, m, output) for m in _listed(weighted_metrics)]
    for metric in [*plan.metrics, *plan.weighted_metrics]:
        if plan.kind == "multilabel" and isinstance(metric, keras.metrics.FBetaScore):
            raise ValueError(
                message(
                    f"metrics that take a weight for each label, for task {plan.name!r} (F scores of Keras take one "
                    "for each example)",
                    "leave the task's metrics out: its head has the F1 and accuracy of each label",
                    metric=metric.name,
                )
            )
    return plan


def _class_weight(plan: TaskPlan, class_weight: Mapping[int, float]) -> dict[int, float]:
    if not plan.class_ids:
        raise ValueError(
            message(
                f"class weights only for tasks with class ids as labels (task {plan.name!r} is {plan.kind})",
                "remove them, or use sample weights",
                class_weight=class_weight,
            )
        )
    checked = checked_class_weight(plan.name, class_weight)
    assert plan.label_range is not None
    highest = plan.label_range[1]
    if max(checked) > highest:
        raise ValueError(
            message(
                f"class ids from 0 to {highest:g} in the class weights of task {plan.name!r}",
                "correct the ids",
                class_weight=class_weight,
            )
        )
    return checked


def _listed(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]


def _target_way(head: Head) -> Any:
    """Equal for heads that give equal labels equal targets; at worst, the head itself."""
    if type(head).loss_target is Head.loss_target:
        return Head.loss_target
    return (type(head), head.get_config()) if is_of_library(head) else head


class _FunctionLoss(keras.losses.Loss):
    """A loss function in the clothes of a loss object."""

    def __init__(self, function: Callable[[Any, Any], Any], name: str):
        super().__init__(name=name)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


def _as_float(labels: tf.Tensor) -> tf.Tensor:
    """Labels as Keras hands them to its losses: in the default float type."""
    return tf.cast(labels, keras.config.floatx())


def _loss(task: str, loss: Any) -> keras.losses.Loss:
    resolved = keras.losses.get(loss)
    if not isinstance(resolved, keras.losses.Loss):
        resolved = _FunctionLoss(resolved, getattr(resolved, "__name__", "loss"))
    if resolved.reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
        raise ValueError(
            message(
                f"a loss that is a mean over the labels that exist, for task {task!r}",
                "leave reduction at its default; multiply with loss_weights to scale a loss",
                reduction=resolved.reduction,
            )
        )
    return resolved


def _metric(plan: TaskPlan, metric: Any, output: Any) -> keras.metrics.Metric:
    """A metric object from a name, object or function; "accuracy" is the one that fits the loss, as in Keras."""
    if isinstance(metric, keras.metrics.Metric):
        return metric
    if isinstance(metric, str) and metric in ("accuracy", "acc"):
        return _accuracy(plan, output)(name=metric)
    resolved = keras.metrics.get(metric)
    # Keras logs a metric under the name that the user gave it
    name = metric if isinstance(metric, str) else getattr(resolved, "__name__", "metric")
    if not isinstance(resolved, keras.metrics.Metric):
        return keras.metrics.MeanMetricWrapper(resolved, name=name)
    return type(resolved).from_config({**resolved.get_config(), "name": name})


def _accuracy(plan: TaskPlan, output: Any) -> type[keras.metrics.Metric]:
    if output.shape[-1] == 1 or plan.kind == "multilabel" or "binary" in plan.loss.name:
        return keras.metrics.BinaryAccuracy
    if plan.class_ids:
        return keras.metrics.SparseCategoricalAccuracy
    return keras.metrics.CategoricalAccuracy


# what the names of Keras' metrics that are better when smaller have in them
_SMALLER_IS_BETTER = ("error", "crossentropy", "divergence", "hinge", "loss", "logcosh", "poisson")
_SHORT_NAMES = ("mae", "mse", "rmse", "mape", "msle", "kld")


def direction(metric: keras.metrics.Metric) -> str:
    """`"min"` for errors and losses, `"max"` for the others, by the metric's class and name."""
    names = f"{metric.name} {type(metric).__name__}".lower()
    is_error = metric.name in _SHORT_NAMES or any(word in names for word in _SMALLER_IS_BETTER)
    return "min" if is_error else "max"

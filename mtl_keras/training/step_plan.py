"""StepPlan: everything that one training step needs to know, decided once by `compile`."""

from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.training.dense_end import DenseEnd
from mtl_keras.training.gradient_watch import GradientWatch
from mtl_keras.training.metric_updates import update_all
from mtl_keras.training.not_finite import NotFinite
from mtl_keras.training.participation import Participation
from mtl_keras.training.task_plan import TaskPlan
from mtl_keras.training.trackers import LossTracker
from mtl_keras.weightings import Static, Weighting

HEAD_GRADIENTS = ("unweighted", "weighted")


@dataclass
class StepPlan:
    """The plan of a step.

    Attributes:
        tasks: The trained tasks in output order.
        weighting: The method, bound to those tasks.
        scope: Where a gradient method takes its gradients.
        head_gradients: Whether a gradient method's weights reach the heads' own variables too.
        loss_weights: What each loss is multiplied by before the method sees it.
        whole: Model from the inputs to `{"output": {task: ...}, "loss_input": {task: ...}}` of the trained tasks.
        trunk: Model from the inputs to the cut; None where there is no clean cut and the method reads losses only.
        heads: For each trained task a model from the cut to `{"output": ..., "loss_input": ...}`.
        cut_from_inputs: For each cut tensor, whether it is one of the model's inputs (no shared variable behind it).
        owners: For each variable's path, the indices of the trained tasks that depend on it.
        tracker: Epoch means of losses and weights in training.
        evaluation: Means of losses in evaluation, so that one between two epochs leaves those of training alone.
        not_finite: How many examples were not finite in evaluation.
        participation: Which tasks take part in training, and with which emphasis.
        watch: Whether gradients are measured beside the step, and what was found.
        dense_end: The dense layer before the cut, where the Gramian of its gradients is taken without these.
        micro_batches: In how many parts a batch is taken, see `micro_batches.py`.
    """

    tasks: list[TaskPlan]
    weighting: Weighting
    scope: str
    head_gradients: str
    loss_weights: list[float]
    whole: keras.Model
    tracker: LossTracker
    evaluation: LossTracker
    not_finite: NotFinite
    owners: dict[str, list[int]]
    participation: Participation
    watch: GradientWatch
    micro_batches: int = 1
    trunk: keras.Model | None = None
    heads: dict[str, keras.Model] = field(default_factory=dict)
    dense_end: DenseEnd | None = None
    cut_from_inputs: list[bool] = field(default_factory=list)
    shared_variables: list[keras.Variable] = field(default_factory=list)
    last_shared_variables: list[keras.Variable] = field(default_factory=list)
    task_variables: dict[str, list[keras.Variable]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The trained tasks' names."""
        return [task.name for task in self.tasks]

    @property
    def loss_scale(self) -> tf.Tensor:
        """`loss_weights` as a tensor [K]."""
        return tf.constant(self.loss_weights, tf.float32)

    def evaluation_weights(self) -> tf.Tensor:
        """Task weights [K] of the total loss in evaluation: fixed ones only, so that epochs can be compared."""
        if isinstance(self.weighting, Static):
            return self.loss_scale * tf.convert_to_tensor(self.weighting.task_weights.value)
        return self.loss_scale

    def metrics(self) -> dict[str, keras.metrics.Metric]:
        """All task metrics by log key."""
        return {key: metric for task in self.tasks for key, metric in task.metrics_by_key().items()}

    def update_metrics(self, labels: Any, outputs: Any, masks: Any, weights: Any) -> None:
        """Feed every metric the labels that exist."""
        update_all(
            [
                (metric, labels[task.name], outputs[task.name], of_metrics[task.name])
                for task in self.tasks
                for of_metrics, metrics in ((masks, task.metrics), (weights, task.weighted_metrics))
                for metric in metrics
            ]
        )

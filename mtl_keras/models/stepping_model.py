"""How a batch goes through a step, and what the step tells Keras of it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.distribute.replicated_model import ReplicatedModel
from mtl_keras.distribute.shares import Share
from mtl_keras.errors import message
from mtl_keras.models.setup import Setup
from mtl_keras.training import data_checks, step
from mtl_keras.training.step_plan import StepPlan
from mtl_keras.training.weighting_data import in_two


class SteppingModel(ReplicatedModel):
    """A model that trains and evaluates by the steps of `mtl_keras.training`.

    Subclasses have a `Setup` in `_setup`.
    """

    _setup: Setup

    @property
    def plan(self) -> StepPlan:
        """What `compile` decided."""
        if self._setup.plan is None:
            raise ValueError(message("a compiled model", "call compile first", compiled=False))
        return self._setup.plan

    def _untrained(self) -> list[str]:
        return [task.name for task in self._setup.tasks if task.name not in self.plan.names]

    def train_step(self, data: Any) -> dict[str, Any]:
        """One training step on one batch, see `mtl_keras.training.step`."""
        batch, real = _as_share(data)
        batch, other = in_two(batch, self.plan.weighting)
        others = None if other is None else self._by_task(other)
        return self._run(partial(step.train_step, other=others), Share(batch, real))

    def test_step(self, data: Any) -> dict[str, Any]:
        """One evaluation step on one batch."""
        return self._run(step.test_step, _as_share(data))

    def _run(self, one_step: Any, data: Share) -> dict[str, Any]:
        # Of a dataset of unknown length Keras asks for one batch too many; in a graph everything that does not depend
        # on the batch runs all the same. So everything depends on it.
        with tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None]):
            one_step(self, self.plan, *self._by_task(data.batch), data.real)
            return self.get_metrics_result()

    def _by_task(self, batch: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Inputs, labels and sample weights of a batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        plans, untrained = self.plan.tasks, self._untrained()
        labels = data_checks.labels_by_task(y, plans, untrained)
        return self.own_inputs(x), labels, data_checks.weights_by_task(sample_weight, plans, untrained)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The loss tracker and all task metrics."""
        if self._setup_or_none is None or self._setup.plan is None:
            return []
        return [self._setup.plan.tracker, *self._setup.plan.metrics().values()]

    @property
    def _setup_or_none(self) -> Setup | None:
        # Keras asks for metrics while the model is still being made
        return self.__dict__.get("_setup")

    def get_metrics_result(self) -> dict[str, Any]:
        """`loss`, `<task>_loss`, `<task>_weight` (training only) and `<task>_<metric>`."""
        plan = self.plan
        if tf.executing_eagerly() and not self.run_eagerly and plan.tracker.batches() == 0:
            raise ValueError(
                message(
                    "at least one batch in every epoch",
                    "add .repeat() to the dataset where steps_per_epoch is given, or leave steps_per_epoch out",
                    batches=0,
                )
            )
        logs = dict(plan.tracker.result())
        if self._setup.evaluating:
            logs = {key: value for key, value in logs.items() if not key.endswith("_weight")}
        for key, metric in plan.metrics().items():
            result = metric.result()
            if isinstance(result, Mapping):
                logs |= {f"{key}_{part}": value for part, value in result.items()}
            else:
                logs[key] = result
        return logs


def _as_share(data: Any) -> Share:
    return data if isinstance(data, Share) else Share(data, None)

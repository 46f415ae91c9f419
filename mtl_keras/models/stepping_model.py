"""How a batch goes through a step, and what the step tells Keras of it."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.distribute.replicated_model import ReplicatedModel
from mtl_keras.distribute.shares import Share
from mtl_keras.errors import message
from mtl_keras.models.setup import Setup
from mtl_keras.training import batch_checks, data_checks, step
from mtl_keras.training.compile_state import add_halves, check_shared
from mtl_keras.training.step_plan import StepPlan
from mtl_keras.training.weighting_data import in_two
from mtl_keras.weightings.base import SCOPES


class SteppingModel(ReplicatedModel):
    """A model that trains and evaluates by the steps of `mtl_keras.training`.

    Subclasses have a `Setup` in `_setup`.
    """

    _setup: Setup
    train_function: Any

    @property
    def plan(self) -> StepPlan:
        """What `compile` decided."""
        if self._setup.plan is None:
            raise ValueError(message("a compiled model", "call compile first", compiled=False))
        return self._setup.plan

    def _untrained(self) -> list[str]:
        return [task.name for task in self._setup.tasks if task.name not in self.plan.names]

    def watch_gradients(self, scope: str | None = "parameters") -> None:
        """Have the tasks' gradients measured where `plan.watch.due` is set, and put into the logs, until `fit` ends.

        Args:
            scope: Where gradients are taken, one of `weightings.SCOPES`; None ends it.

        Raises:
            ValueError: There is no such scope, the tasks share nothing that is trained, or a log key is taken.
        """
        plan = self.plan
        if scope is not None:
            if scope not in SCOPES:
                raise ValueError(message(f"a scope among {list(SCOPES)}", "choose one", scope=scope))
            taken = [key for key in plan.watch.tracker.log_keys() if key in plan.metrics()]
            if taken:
                raise ValueError(
                    message("log keys that measured gradients can have", "rename the task's metric", key=taken[0])
                )
            if plan.trunk is None:
                add_halves(self, plan)
            check_shared(plan, "gradients to be measured on")
        self.train_function = plan.watch.change_scope(scope, self.train_function)
        self.make_train_function()

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras; steps that measure gradients are traced apart from those that do not."""
        if self.train_function is not None and not force:
            return
        super().make_train_function(force=True)
        watch = self.plan.watch
        if force:
            watch.forget_functions()
        if watch.scope is not None:
            plain = self.train_function
            super().make_train_function(force=True)
            self.train_function = watch.choosing(plain, measuring=self.train_function)

    def _retrace(self, forms: Any, training: bool) -> None:
        """Trace steps anew where inputs or labels come in another form than before, see `label_forms`."""
        before = self._setup.forms.setdefault(training, forms)
        if forms != before:
            self._setup.forms[training] = forms
            make_again = self.make_train_function if training else self.make_test_function
            make_again(force=True)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One training step on one batch, see `mtl_keras.training.step`."""
        batch, real = _as_share(data)
        batch, other = in_two(batch, self.plan.weighting)
        others = None if other is None else self._by_task(other)
        return self._run(partial(step.train_step, other=others), Share(batch, real))

    def test_step(self, data: Any) -> dict[str, Any]:
        """One evaluation step on one batch."""
        return self._run(step.test_step, _as_share(data), evaluating=True)

    def _run(self, one_step: Any, data: Share, evaluating: bool = False) -> dict[str, Any]:
        # Of a dataset of unknown length Keras asks for one batch too many; in a graph everything that does not depend
        # on the batch runs all the same. So everything depends on it.
        batch = self._by_task(data.batch)
        read = [t for t in tf.nest.flatten(data, expand_composites=True) if t is not None]
        with tf.control_dependencies([*read, *batch_checks.assert_one_each(*batch)]):
            one_step(self, self.plan, *batch, data.real)
            return self._logs(evaluating)

    def _by_task(self, batch: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Inputs, labels and sample weights of a batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        plans, untrained = self.plan.tasks, self._untrained()
        labels = data_checks.labels_by_task(y, plans, untrained)
        return self.own_inputs(x), labels, data_checks.weights_by_task(sample_weight, plans, untrained)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The trackers and all task metrics; during an evaluation only those that it may reset."""
        if self._setup_or_none is None or self._setup.plan is None:
            return []
        plan = self._setup.plan
        of_training = [] if self._setup.evaluating else [plan.tracker, plan.watch.tracker]
        return [*of_training, plan.evaluation, plan.not_finite, *plan.metrics().values()]

    @property
    def _setup_or_none(self) -> Setup | None:
        # Keras asks for metrics while the model is still being made
        return self.__dict__.get("_setup")

    def get_metrics_result(self) -> dict[str, Any]:
        """`loss`, `<task>_loss` and `<task>_<metric>`; of training also `<task>_weight` and what `watch` measured.

        0 for a task that had no label, NaN for one that sat out every step in which it had labels.
        """
        evaluating = self._setup.evaluating
        tracker = self.plan.evaluation if evaluating else self.plan.tracker
        if tracker.batches() == 0:
            raise ValueError(
                message(
                    "at least one batch in every epoch",
                    "check what the dataset is made from, and .repeat() it where steps_per_epoch is given",
                    batches=0,
                )
            )
        lost = tracker.lost()
        logs = self._logs(evaluating, lost)
        if lost and not any(tracker.labels_seen().values()):
            logs["loss"] = math.nan
        return logs

    def _logs(self, evaluating: bool, lost: Sequence[str] = ()) -> dict[str, Any]:
        """What the trackers and metrics say, inside steps too, but NaN for tasks of which they know nothing."""
        plan = self.plan
        logs = dict((plan.evaluation if evaluating else plan.tracker).result())
        if evaluating:
            logs = {key: value for key, value in logs.items() if not key.endswith("_weight")}
        elif plan.watch.scope is not None:
            logs |= plan.watch.tracker.result()
        for task in plan.tasks:
            of_task = {f"{task.name}_loss": logs[f"{task.name}_loss"]}
            for key, metric in task.metrics_by_key().items():
                result = metric.result()
                parts = isinstance(result, Mapping)
                of_task |= {f"{key}_{part}": value for part, value in result.items()} if parts else {key: result}
            logs |= dict.fromkeys(of_task, math.nan) if task.name in lost else of_task
        return logs


def _as_share(data: Any) -> Share:
    return data if isinstance(data, Share) else Share(data, None)

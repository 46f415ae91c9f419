"""What to watch: a log key and its direction, from a task's name, a log key or "overall"."""

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

from mtl_keras.analysis.score import overall_score, task_metrics
from mtl_keras.errors import message

OVERALL = "overall"


class Monitor:
    """Resolves what a callback watches, and adds the overall score to the logs.

    Keras' `mode="auto"` fails for every per-output name, and a name that does not exist never fires; here both are
    settled before training starts.

    Args:
        model: A compiled MultiTaskModel.
        monitor: `"overall"`, a task's name (its deciding metric), or a log key with or without `val_`.
        validated: Whether there are validation data: task names and "overall" then mean validation.
        reference: Where the errors of the first epoch are kept, which "overall" is measured by; the caller's, so that
            it belongs to the state that a run is resumed from.
    """

    def __init__(self, model: Any, monitor: str, validated: bool, reference: dict[str, float] | None = None):
        self.model = model
        self.prefix = "val_" if validated else ""
        self._reference = {} if reference is None else reference
        known = self._known()
        name = monitor
        if monitor == OVERALL or monitor in model.plan.names:
            name = self.prefix + (monitor if monitor == OVERALL else self._deciding(monitor))
        if name.removeprefix("val_") not in known or (name.startswith("val_") and not validated):
            everything = [prefix + key for prefix in dict.fromkeys(("", self.prefix)) for key in known]
            raise ValueError(
                message(
                    "something that training logs", f"choose one of {[*everything, *model.plan.names]}", monitor=monitor
                )
            )
        if name.startswith("val_"):
            _check_validation(model.validation, monitor, name)
        self.key = name
        self.mode = known[name.removeprefix("val_")]

    def value(self, logs: Mapping[str, float] | None) -> float | None:
        """The watched value; None where this epoch says nothing."""
        return None if logs is None or self.says_nothing(logs) else float(logs[self.key])

    def says_nothing(self, logs: Mapping[str, float] | None) -> bool:
        """Whether this epoch was not validated, or what is watched, one task or all, lacked the labels of one."""
        if not logs or self.key not in logs:
            return True
        unlabelled = self._unlabelled()
        is_overall = self.key.endswith(OVERALL) and self._task is None
        return (is_overall and bool(unlabelled) and math.isnan(logs[self.key])) or self._task in unlabelled

    def improves(self, value: float, best: float | None, min_delta: float = 0.0) -> bool:
        """Whether a value is better than the best one so far; NaN never is."""
        if value != value or best is None:
            return value == value
        return value < best - min_delta if self.mode == "min" else value > best + min_delta

    @property
    def _task(self) -> str | None:
        """The task that is watched; of two that fit, the longer name is meant (`age` and `age_group`)."""
        names = sorted(self.model.plan.names, key=len, reverse=True)
        key = self.key.removeprefix("val_")
        return next((name for name in names if key.startswith(f"{name}_")), None)

    def _unlabelled(self) -> list[str]:
        """Tasks without a label in what the watched values were measured on."""
        plan = self.model.plan
        return (plan.evaluation if self.key.startswith("val_") else plan.tracker).unlabelled()

    def _deciding(self, task: str) -> str:
        return next(f"{plan.name}_{plan.best[0]}" for plan in self.model.plan.tasks if plan.name == task)

    def _known(self) -> dict[str, str]:
        """Every log key without prefix, and its direction."""
        known = {OVERALL: "max", "loss": "min"}
        for plan in self.model.plan.tasks:
            known[f"{plan.name}_loss"] = "min"
            for metric in [*plan.metrics, *plan.weighted_metrics]:
                known[f"{plan.name}_{metric.name}"] = plan.direction_of(metric)
        return known

    def add_overall(self, logs: MutableMapping[str, float] | None) -> None:
        """Put `overall` (or `val_overall`) into the logs, for this and all later callbacks."""
        if logs is None or not self.key.endswith(OVERALL) or self.key in logs:
            return
        if not any(key.startswith(self.prefix) for key in logs):  # as with `validation_freq`
            return
        found = task_metrics(self.model, logs, self.prefix)
        unlabelled = self._unlabelled()
        values = {task: value for task, (_, value, _) in found.items() if task not in unlabelled}
        directions = {task: direction for task, (_, _, direction) in found.items()}
        if not self._reference:
            # an error of 0 in the first epoch leaves nothing to gain
            self._reference.update({task: value or 1.0 for task, value in values.items() if math.isfinite(value)})
        # without a task that the first epoch had, the mean is about something else
        compared = {task: values.get(task, math.nan) for task in self._reference}
        logs[self.key] = overall_score(compared, directions, self._reference) if compared else math.nan


def _check_validation(validation: Any, monitor: str, key: str) -> None:
    """Refuse what would never be measured in the `fit` that runs; None where none does."""
    instead = f"watch {key.removeprefix('val_')!r} with validated=False"
    if validation is not None and not validation.has_data:
        raise ValueError(
            message(
                f"validation data, on which {key!r} is measured",
                f"pass fit(validation_data=...), or {instead}",
                monitor=monitor,
                validation_data=None,
            )
        )
    if validation is not None and validation.never:
        raise ValueError(
            message(
                f"an epoch that is validated, in which {key!r} is measured",
                f"validate more often, train for longer, or {instead}",
                monitor=monitor,
                validation_freq=validation.freq,
                epochs=validation.epochs.stop,
            )
        )

"""What to watch: a log key and its direction, from a task's name, a log key or "overall"."""

from collections.abc import MutableMapping
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
        self.key = name
        self.mode = known[name.removeprefix("val_")]

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
        found = task_metrics(self.model, logs, self.prefix)
        values = {task: value for task, (_, value, _) in found.items()}
        directions = {task: direction for task, (_, _, direction) in found.items()}
        if not self._reference:
            # an error of 0 in the first epoch leaves nothing to gain
            self._reference.update({task: value or 1.0 for task, value in values.items()})
        logs[self.key] = overall_score(values, directions, self._reference)

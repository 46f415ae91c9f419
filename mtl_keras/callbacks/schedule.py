"""Task weights that follow a plan."""

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import keras
import numpy as np

from mtl_keras.errors import message

Plan = float | Mapping[int, float] | Callable[[int], float]


class Schedule(keras.callbacks.Callback):
    """Multiply the losses of tasks by weights that change from epoch to epoch, whatever the weighting.

    For curricula (an easy task first, a hard one later) and auxiliary tasks that fade out. The weights multiply what
    `compile(loss_weights=...)` says and are applied before the weighting sees the losses; `<task>_weight` in the logs
    includes them. At weight 0 a task sits out: it leaves the balance, and its head does not move. Validation losses are
    not multiplied, so that epochs can be compared.

    Args:
        weights: `{task: plan}`. A plan is a number, `{epoch: weight}` (from that epoch on, counted from 0; weight 1
            before the first), or a function from the epoch to the weight. Tasks that are not named keep weight 1.
        smooth: Whether weights between two epochs of a plan lie on the line between them, default False.

    Raises:
        ValueError: A plan is empty, or an epoch or weight in it is negative or not finite; when training begins, a task
            is unknown; while training, a function gives such a weight.

    Example:
        >>> from mtl_keras import callbacks
        >>> schedule = callbacks.Schedule({"depth": {0: 0.0, 4: 1.0}, "edges": lambda epoch: 0.5**epoch}, smooth=True)
        >>> [schedule.at(epoch) for epoch in (0, 1, 6)]
        [{'depth': 0.0, 'edges': 1.0}, {'depth': 0.25, 'edges': 0.5}, {'depth': 1.0, 'edges': 0.015625}]
    """

    state_attributes = ()  # everything follows from the epoch

    def __init__(self, weights: Mapping[str, Plan], smooth: bool = False):
        super().__init__()
        self.weights, self.smooth = dict(weights), smooth
        for task, plan in self.weights.items():
            if callable(plan):
                continue
            points = plan if isinstance(plan, Mapping) else {0: plan}
            if not points or not all(_is_epoch(epoch) and _is_weight(weight) for epoch, weight in points.items()):
                raise ValueError(
                    message(
                        "finite weights of at least 0 by epoch, from 0", "correct the plan of this task", **{task: plan}
                    )
                )

    def at(self, epoch: int) -> dict[str, float]:
        """`{task: weight}` in an epoch, counted from 0."""
        return {task: self._weight(plan, epoch) for task, plan in self.weights.items()}

    def _weight(self, plan: Plan, epoch: int) -> float:
        if callable(plan):
            return float(plan(epoch))
        if not isinstance(plan, Mapping):
            return float(plan)
        epochs = sorted(plan)
        if self.smooth:
            return float(np.interp(epoch, epochs, [plan[e] for e in epochs]))
        begun = [e for e in epochs if e <= epoch]
        return float(plan[begun[-1]]) if begun else 1.0

    def on_train_begin(self, logs: Any = None) -> None:
        names = self.model.plan.names
        for task in self.weights:
            if task not in names:
                raise ValueError(message(f"tasks among those that train, {names}", "correct the name", task=task))
        self.model.let_sit_out(self.weights)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.plan.participation.emphasize(self.at(epoch))


def _is_epoch(epoch: Any) -> bool:
    return isinstance(epoch, Integral) and not isinstance(epoch, bool) and int(epoch) >= 0


def _is_weight(weight: Any) -> bool:
    return isinstance(weight, Real) and 0 <= float(weight) < float("inf")

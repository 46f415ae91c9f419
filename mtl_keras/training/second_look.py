"""Losses of a batch at other values of the variables, without moving anything."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.training.measure import Measured, measure
from mtl_keras.training.step_plan import StepPlan


class SecondLook:
    """Forward passes that draw what the first one draws: same dropout, and statistics that move once.

    Make it before the step's own forward pass.

    Args:
        plan, x, y, sample_weight: As `step.train_step` has them.
    """

    def __init__(self, plan: StepPlan, x: Any, y: Any, sample_weight: Any):
        self._plan, self._batch = plan, (x, y, sample_weight)
        # random seeds among them: from here on they give the same masks again
        self._before = [(v, tf.identity(v.value)) for v in plan.whole.non_trainable_variables]

    def measure(self, values: list[tuple[keras.Variable, tf.Tensor]] | None = None) -> Measured:
        """The losses with these values of variables; variables that are not named have those of this moment."""
        x, y, sample_weight = self._batch
        with keras.StatelessScope([*self._before, *(values or [])], initialize_variables=False):
            forward = self._plan.whole(x, training=True)
            return measure(self._plan, forward, y, sample_weight, training=True)

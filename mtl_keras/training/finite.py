"""A task whose loss or gradient is not finite sits out the step, and the others train on.

An infinite label or a gradient that overflows in float16 would otherwise reach every shared variable. Where every task
fails, an optimizer with a loss scale skips the step, and any other gets gradients of zero.
"""

import warnings
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import groups, replicas
from mtl_keras.gradients.gramian import Row
from mtl_keras.training import not_finite
from mtl_keras.training.measure import Measured
from mtl_keras.training.step_plan import StepPlan

Pairs = list[tuple[Any, keras.Variable]]


def overflowed(rows_of_tasks: list[list[Row]]) -> tf.Tensor:
    """Which tasks have a gradient that is not finite, on any replica, bool [K]; given lists of K rows."""
    whole = [[piece for row in rows for piece in row] for rows in zip(*rows_of_tasks, strict=True)]
    found = _not_finite(whole)
    return found if replicas.count() == 1 else replicas.total([tf.cast(found, tf.float32)])[0] > 0.0


def skips_whole_steps(optimizer: Any) -> bool:
    """Whether the optimizer scales the loss, and skips steps whose gradients overflow, as under `mixed_float16`."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def stopped(optimizer: Any, pairs: Pairs, measured: Measured) -> tuple[Pairs, Measured, tf.Tensor]:
    """The step's gradients, or none where their squares are not finite: what is wrong then lies in what tasks share.

    Replicas stop together. (Keras asks the first one alone whether its gradients are finite, and then moves or skips
    the step on all of them.)

    Args:
        optimizer: Any optimizer. One that skips whole steps gets NaN, so that it does; others get zeros.
        pairs: `(gradient, variable)`.
        measured: The losses of the batch.

    Returns:
        The pairs, the losses without the tasks that sit out, and whether the step is stopped, bool, alike everywhere.
    """
    skips = skips_whole_steps(optimizer)
    values = [g.values if isinstance(g, tf.IndexedSlices) else g for g, _ in pairs]
    # one operation and one look at every number; optimizers that square gradients come to their end there as well
    squares = [tf.nn.l2_loss(tf.cast(group.values, tf.float32)) for group in groups.groups([values])]
    (square,) = replicas.total([tf.add_n(squares)])
    stop = measured.nobody | ~tf.math.is_finite(square)
    poison, go_on = tf.where(stop, float("nan"), 0.0), tf.cast(~stop, tf.float32)

    def change(group: groups.Group) -> tf.Tensor:
        if skips:
            return group.values + tf.cast(poison, group.values.dtype)
        return tf.math.multiply_no_nan(group.values, tf.cast(go_on, group.values.dtype))

    (values,) = groups.changed([values], change)
    changed = [
        (tf.IndexedSlices(value, g.indices, g.dense_shape) if isinstance(g, tf.IndexedSlices) else value, variable)
        for value, (g, variable) in zip(values, pairs, strict=True)
    ]
    return changed, measured.without(stop, skips), stop


def lower_loss_scale(optimizer: Any, when: tf.Tensor) -> None:
    """Halve the loss scale, as Keras does where a gradient overflows, for gradients that it does not get to see."""
    if skips_whole_steps(optimizer):
        scale, steps = optimizer.dynamic_scale, optimizer.step_counter
        old = [tf.convert_to_tensor(variable.value) for variable in (scale, steps)]
        new = [old[0] * 0.5, tf.zeros_like(old[1])]
        replicas.assign([scale, steps], [tf.where(when, b, a) for a, b in zip(old, new, strict=True)])


class SatOut(keras.callbacks.Callback):
    """Logs in how many steps a task sat out, as `<task>_sat_out`, and warns of each task once; `fit` adds it.

    It also warns once of validation on values that are not finite. It does not warn of gradients that overflow while
    the loss scale finds its size.
    """

    state_attributes = ()  # nothing to resume: after a restart it may say it again

    def __init__(self, plan: StepPlan):
        super().__init__()
        self._plan = plan
        self._logged: set[str] = set()
        self._warned: set[str] = set()
        self._told_of_validation = False

    def on_test_end(self, logs: Any = None) -> None:
        if not self._told_of_validation:
            counts, examples = self._plan.not_finite.counts()
            self._told_of_validation = any(counts.values())
            not_finite.tell(counts, examples)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for task, (by_loss, by_gradient) in self._plan.tracker.sat_out().items():
            key, count = f"{task}_sat_out", by_loss + by_gradient
            if not count and task not in self._logged:
                continue
            logs[key] = float(count)
            if task not in self._logged:
                # as long as the other lists of the history
                history = self.model.history
                history.history.setdefault(key, [0.0] * len(history.epoch))
                self._logged.add(task)
            if task not in self._warned and (by_loss or (by_gradient and not self._scale_is_high())):
                self._warned.add(task)
                warnings.warn(
                    f"Task {task!r} sat out {count} of the steps of epoch {epoch + 1}: its loss or its gradient was "
                    "not finite. The other tasks trained on. Look for infinite labels and inputs, losses that divide "
                    f"by 0 or take its logarithm, too high a learning rate. Later epochs log such steps as {key!r}.",
                    stacklevel=2,
                )

    def _scale_is_high(self) -> bool:
        """Whether the loss scale explains that gradients overflow."""
        optimizer = self.model.optimizer
        return skips_whole_steps(optimizer) and float(keras.ops.convert_to_numpy(optimizer.dynamic_scale)) >= 1.0


def _not_finite(rows: list[Row]) -> tf.Tensor:
    """Which rows hold a number that is not finite, bool [len(rows)]."""
    found = groups.groups(rows)
    if not found:
        return tf.zeros([len(rows)], tf.bool)
    flags = [group.are_finite() for group in found]
    if all(group.has_one_of_each(len(rows)) for group in found):
        return ~tf.reduce_all(tf.stack(flags), 0)
    of_row = [row for group in found for row, _ in group.places]
    return tf.math.unsorted_segment_min(tf.cast(tf.concat(flags, 0), tf.int32), of_row, len(rows)) == 0

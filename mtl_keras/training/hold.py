"""What a step has to leave where it was: heads of absent tasks, the method's memory where the whole step is skipped.

A task without a label in the batch, or that sits it out, does not move, nor does its optimizer's memory. A zero
gradient is not enough: momentum, weight decay and regularization move a variable all the same, and statistics of
batch normalization have no gradient. So the old values are kept and put back where none of a variable's tasks was
present. A step whose gradients overflow in float16 is skipped by the loss scale; then the method's memory is put back.
"""

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.training.finite import skips_whole_steps
from mtl_keras.training.slots import optimizer_slots
from mtl_keras.training.step_plan import StepPlan
from mtl_keras.weightings import Weighting

# a variable with its tasks, whose numbers say where it belongs; None for a vector with one entry per task
Held = tuple[keras.Variable, list[int] | None]


class _Hold:
    """Variables that may have to be put back, with their values before the step.

    Args:
        held: The variables.
        needed: Whether one of them may have to be put back, bool scalar; None where that is not known yet.
    """

    def __init__(self, held: list[Held], needed: tf.Tensor | None = None):
        of_dtype: dict[tf.DType, list[Held]] = {}
        for variable, tasks in held:
            of_dtype.setdefault(variable.value.dtype, []).append((variable, tasks))
        self._of_dtype = of_dtype
        self._before = self._packed() if needed is None else tf.cond(needed, self._packed, self._nothing)

    def release(self, present: tf.Tensor) -> None:
        """Put back the variables none of whose tasks is present; of vectors with one entry per task, those entries."""
        if not self._of_dtype:
            return
        if replicas.count() > 1:  # replicas cannot assign together inside a branch
            self._put_back(present)
        else:  # nothing to do in most batches: with many heads that is a good part of a step
            tf.cond(tf.reduce_all(present), tf.no_op, partial(self._put_back, present))

    def _packed(self) -> list[tf.Tensor]:
        """All values in one vector for each dtype: what leaves a branch costs by its number."""
        return [
            tf.concat([tf.reshape(variable.value, [-1]) for variable, _ in held], 0) for held in self._of_dtype.values()
        ]

    def _nothing(self) -> list[tf.Tensor]:
        return [tf.zeros([0], dtype) for dtype in self._of_dtype]

    def _put_back(self, present: tf.Tensor) -> tf.Operation:
        variables, values = [], []
        for held, vector in zip(self._of_dtype.values(), self._before, strict=True):
            parts = tf.split(vector, [variable.value.shape.num_elements() for variable, _ in held])
            for (variable, tasks), part in zip(held, parts, strict=True):
                moved = present if tasks is None else tf.reduce_any(tf.gather(present, tasks))
                variables.append(variable)
                values.append(tf.where(moved, tf.convert_to_tensor(variable.value), tf.reshape(part, variable.shape)))
        replicas.assign(variables, values)
        return tf.no_op()


def hold_absent(model: keras.Model, plan: StepPlan, present: tf.Tensor) -> _Hold:
    """Keep what the optimizer moves and has to leave where it is for tasks that are absent from the global batch."""
    held: list[Held] = []
    if len(plan.tasks) > 1:
        slots = optimizer_slots(model.optimizer, model.trainable_variables)
        of_variable: dict[str, list[keras.Variable]] = {}
        for slot in slots:
            if slot.owner is not None:
                of_variable.setdefault(slot.owner, []).append(slot.variable)
        for variable in model.trainable_variables:
            tasks = plan.owners.get(variable.path)
            if tasks is not None and len(tasks) < len(plan.tasks):
                held += [(v, tasks) for v in [variable, *of_variable.get(variable.path, [])]]
        # an optimizer of a task's own counts the steps that the task has trained
        own = {name: [k] for k, name in enumerate(plan.names)}
        held += [(slot.variable, own[slot.part]) for slot in slots if slot.owner is None and slot.part in own]
        per_task = (len(plan.tasks),)
        for variable in plan.weighting.trainable_variables:
            if tuple(variable.shape) == per_task:
                vectors = [variable, *of_variable.get(variable.path, [])]
                held += [(v, None) for v in vectors if tuple(v.shape) == per_task]
    # XLA knows no branches that return different shapes, and replicas put back without looking
    always = model.jit_compile or replicas.count() > 1
    return _Hold(held, None if always else ~tf.reduce_all(present))


def hold_statistics(model: keras.Model, plan: StepPlan) -> _Hold:
    """Keep what the forward pass moves: statistics of a batch that no task takes part in, which may be infinite."""
    held: list[Held] = []
    for layer in model.layers:
        for variable in layer.non_trainable_variables if layer.trainable else []:
            tasks = plan.owners.get(variable.path)
            if tasks and _is_floating(variable):
                held.append((variable, tasks))
    return _Hold(held)


def hold_memory(optimizer: Any, weighting: Weighting) -> _Hold:
    """Keep the method's memory where the loss scale may skip the step; call it before the method is asked.

    It is to be released with whether the step was taken, bool [1].
    """
    memory = weighting.non_trainable_variables if skips_whole_steps(optimizer) else []
    return _Hold([(variable, [0]) for variable in memory])


def _is_floating(variable: keras.Variable) -> bool:
    return keras.backend.is_float_dtype(variable.dtype)

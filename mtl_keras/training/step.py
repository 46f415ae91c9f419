"""One training step and one evaluation step, for every kind of weighting."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import groups, replicas
from mtl_keras.training import finite
from mtl_keras.training.added import added_losses
from mtl_keras.training.clipping import clipped
from mtl_keras.training.gradient_look import measure_gradients
from mtl_keras.training.gradient_step import gradient_step
from mtl_keras.training.hold import hold_absent, hold_memory, hold_statistics
from mtl_keras.training.look_ahead import LookAhead
from mtl_keras.training.measure import Measured, measure
from mtl_keras.training.micro_batches import micro_step
from mtl_keras.training.parts import counted
from mtl_keras.training.second_look import SecondLook
from mtl_keras.training.step_plan import StepPlan


def train_step(
    model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, real: Any, other: Any = None
) -> None:
    """Move the model's variables by one step and take the batch into trackers and metrics.

    Args:
        model: The model, for its optimizer and its added losses.
        plan: What `compile` decided.
        x, y, sample_weight: This replica's part of a batch, labels and weights by task name.
        real: Whether the part counts, bool scalar, see `mtl_keras.distribute`; None where it always does.
        other: `(x, y, sample_weight)` of other examples, for weightings with `validation_batches`.
    """
    statistics = hold_statistics(model, plan)
    examples, sample_weight = counted(plan, x, sample_weight, real)
    memory = hold_memory(model.optimizer, plan.weighting)
    if plan.weighting.validation_batches:
        of_others = (*other[:2], counted(plan, other[0], other[2], real)[1])
        ahead = LookAhead(model, plan, (x, y, sample_weight), of_others)
        plan.weighting.look_ahead(ahead.gains, ahead.present)
    if plan.watch.measuring:
        measure_gradients(model, plan, x, y, sample_weight)
    second_look = SecondLook(plan, x, y, sample_weight) if plan.weighting.second_forward else None
    take_step = _undivided_step if plan.trunk is None else gradient_step if plan.micro_batches == 1 else micro_step
    measured, forward, weights, added, gradients = take_step(model, plan, x, y, sample_weight, examples)
    moved = [(gradient, variable) for gradient, variable in gradients if gradient is not None]
    if moved:
        moved, measured, stop = finite.stopped(model.optimizer, clipped(model.optimizer, moved), measured)
        hold = hold_absent(model, plan, measured.present)
        model.optimizer.apply_gradients(moved)
        hold.release(measured.present)
        finite.lower_loss_scale(model.optimizer, tf.reduce_any(measured.overflowed) & ~measured.nobody)
    statistics.release(measured.present)
    if second_look is not None:
        plan.weighting.after_step(measured.losses, second_look.measure().losses, measured.present)
    if moved:
        memory.release(~stop[None])
        weights = tf.where(stop, tf.zeros_like(weights), weights)
    _track(plan, measured, forward, measured.scale * tf.cast(weights, tf.float32), added, examples)


def test_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, real: Any) -> None:
    """Take a batch into trackers and metrics; arguments as for `train_step`."""
    examples, sample_weight = counted(plan, x, sample_weight, real)
    forward = plan.whole(x, training=False)
    added = added_losses(model)
    found = measure(plan, forward, y, sample_weight, training=False).found
    nobody = tf.zeros([2, len(plan.names)])  # evaluation shows what there is
    plan.evaluation.update_state(found.sums, found.counts, plan.evaluation_weights(), added, examples, nobody)
    plan.not_finite.update_state(x, forward["output"], examples)
    plan.update_metrics(found.labels, forward["output"], found.masks, found.weights)


def _track(
    plan: StepPlan, measured: Measured, forward: Any, weights: tf.Tensor, added: tf.Tensor, examples: tf.Tensor
) -> None:
    """Take a training step into the logs; of tasks that sat it out only that they did."""
    found, outputs, failed = measured.found, forward["output"], measured.failed
    there = tf.cast(~failed, tf.float32)
    sums, counts = (tf.math.multiply_no_nan(values, there) for values in (found.sums, found.counts))
    sat_out = tf.cast([measured.by_loss, measured.by_gradient], tf.float32) / replicas.count()
    plan.tracker.update_state(sums, counts, weights, added, examples, sat_out)

    parts = (found.labels, outputs, found.masks, found.weights)
    # only floats can be other than finite, and masks are floats
    rows = [[part[name] if part[name].dtype.is_floating else None for part in parts] for name in plan.names]
    kept = dict(zip(plan.names, groups.scaled(rows, there), strict=True))
    plan.update_metrics(
        *({n: part[n] if kept[n][i] is None else kept[n][i] for n in kept} for i, part in enumerate(parts))
    )


def _undivided_step(
    model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, examples: tf.Tensor
) -> tuple:
    """Weights from losses, one backward of the weighted total: for graphs without a clean cut, see `partition`.

    Returns what `gradient_step` returns. A task whose loss is not finite sits out, but its gradient is not looked at.
    """
    weighting = plan.weighting
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        forward = plan.whole(x, training=True)
        # before anything is summed over replicas: their threads meet there, and Keras keeps these in the layers
        added = added_losses(model)
        measured = measure(plan, forward, y, sample_weight, training=True)
        weights = tf.cast(weighting.call(measured.losses, measured.present), tf.float32)
        if not weighting.trainable_variables:
            weights = tf.stop_gradient(weights)
        penalty = weighting.penalty(measured.present)
        if penalty is not None:
            added += penalty
        total = tf.reduce_sum(weights * tf.where(measured.present, measured.shares, 0.0)) + added * replicas.portion(
            examples
        )
        total = model.optimizer.scale_loss(total)
    gradients = tape.gradient(total, [v.value for v in variables])
    return measured, forward, tf.stop_gradient(weights), added, list(zip(gradients, variables, strict=True))

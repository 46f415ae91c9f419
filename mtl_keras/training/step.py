"""One training step and one evaluation step, for every kind of weighting."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.training.added import added_losses
from mtl_keras.training.gradient_step import gradient_step
from mtl_keras.training.hold import hold_absent
from mtl_keras.training.measure import Measured, measure
from mtl_keras.training.second_look import SecondLook
from mtl_keras.training.step_plan import StepPlan


def train_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> None:
    """Move the model's variables by one step and take the batch into trackers and metrics."""
    hold = hold_absent(model, plan, y, sample_weight)
    second_look = SecondLook(plan, x, y, sample_weight) if plan.weighting.second_forward else None
    take_step = _loss_step if plan.weighting.reads == "losses" else gradient_step
    measured, forward, weights, added, gradients = take_step(model, plan, x, y, sample_weight)
    moved = [(gradient, variable) for gradient, variable in gradients if gradient is not None]
    if moved:
        model.optimizer.apply_gradients(moved)
    hold.release(measured.present)
    if second_look is not None:
        plan.weighting.after_step(measured.losses, second_look.measure().losses, measured.present)
    _track(plan, measured, forward, plan.loss_scale * tf.cast(weights, tf.float32), added, x)


def test_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> None:
    """Take a batch into trackers and metrics."""
    forward = plan.whole(x, training=False)
    measured = measure(plan, forward, y, sample_weight, training=False)
    _track(plan, measured, forward, plan.evaluation_weights(), added_losses(model), x)


def _track(plan: StepPlan, measured: Measured, forward: Any, weights: tf.Tensor, added: tf.Tensor, x: Any) -> None:
    found = measured.found
    examples = tf.shape(keras.tree.flatten(x)[0])[0]
    plan.tracker.update_state(found.sums, found.counts, weights, added, examples)
    plan.update_metrics(found.labels, forward["output"], found.masks, found.weights)


def _loss_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> tuple:
    """Weights from losses: one backward of the weighted total."""
    weighting = plan.weighting
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        forward = plan.whole(x, training=True)
        measured = measure(plan, forward, y, sample_weight, training=True)
        weights = tf.cast(weighting.call(measured.losses, measured.present), tf.float32)
        if not weighting.trainable_variables:
            weights = tf.stop_gradient(weights)
        added = added_losses(model)
        penalty = weighting.penalty(measured.present)
        if penalty is not None:
            added += penalty
        total = tf.reduce_sum(weights * measured.shares) + added / replicas.count()
        total = model.optimizer.scale_loss(total)
    gradients = tape.gradient(total, [v.value for v in variables])
    return measured, forward, tf.stop_gradient(weights), added, list(zip(gradients, variables, strict=True))

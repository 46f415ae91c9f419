"""A step that reads task gradients: trunk once, heads once, trunk backward as often as the scope asks.

| scope        | backwards through the trunk | Gramian of |
|--------------|-----------------------------|------------|
| `parameters` | K                           | all shared variables |
| `features`   | 1                           | the cut, flattened over batch and features |
| `last_layer` | 1, and K through one layer  | the last shared layer's variables |
"""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import replicas
from mtl_keras.training.measure import Measured
from mtl_keras.training.split_pass import SplitPass
from mtl_keras.training.step_plan import StepPlan


def gradient_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, examples: tf.Tensor) -> tuple:
    """Gradients of one batch, with the weights of a method that reads gradients.

    Returns:
        The batch's losses, the forward pass, the applied weights [K] (for aggregators those of the loss weighting
        before them, if there is one, else ones), what was added to the losses, and `(gradient, variable)` pairs, this
        replica's share of each.
    """
    scale = model.optimizer.scale_loss(tf.ones([]))
    split = SplitPass(model, plan, x, y, sample_weight)
    measured, added = split.measured, split.added
    factors, pairs, penalty = _scaled_losses(plan, measured, scale)
    if plan.weighting.cross_gramian:
        weights, shared, in_heads = _from_halves(plan, split, scale)
    else:
        at_cut, in_heads = split.at_cut_and_heads()
        weights, shared = _from_whole(plan, split, at_cut, scale)
    if weights is None:
        weights = tf.ones_like(measured.losses) if factors is None else tf.stop_gradient(factors)
    in_training = weights if plan.head_gradients == "weighted" else factors
    pairs += zip(shared, plan.shared_variables, strict=True)
    for k, (name, gradients) in enumerate(zip(plan.names, in_heads, strict=True)):
        if in_training is not None:
            gradients = [None if g is None else tf.cast(in_training[k], g.dtype) * g for g in gradients]
        pairs += zip(gradients, plan.task_variables[name], strict=True)
    if model.losses:
        extra = split.of_added([v for _, v in pairs], scale * replicas.portion(examples))
        pairs = [(_plus(g, e), v) for (g, v), e in zip(pairs, extra, strict=True)]
    return measured, split.forward, weights, added if penalty is None else added + penalty, pairs


def _scaled_losses(plan: StepPlan, measured: Measured, scale: tf.Tensor) -> tuple:
    """Of a loss weighting before the gradient method: its weights [K], gradients of what it trains, its penalty."""
    weighting = plan.weighting
    variables = weighting.trainable_variables
    with tf.GradientTape() as tape:
        factors = weighting.loss_factors(measured.losses, measured.present)
        if factors is None or not variables:
            return factors, [], None
        penalty = weighting.penalty(measured.present)
        total = tf.reduce_sum(factors * measured.losses)
        total = scale / replicas.count() * (total if penalty is None else total + penalty)
    return factors, list(zip(tape.gradient(total, [v.value for v in variables]), variables, strict=True)), penalty


def _from_whole(plan: StepPlan, split: SplitPass, at_cut: list[gram.Row], scale: tf.Tensor) -> tuple:
    """Applied weights [K] (None for aggregators) and this replica's share of the shared gradient."""
    measured, shared = split.measured, plan.shared_variables
    if not shared:
        return tf.ones_like(measured.losses), []
    if plan.scope == "features":
        parts = gram.blocks(at_cut)
        matrix = replicas.total(gram.gramian(parts, len(plan.names)))
        weights = _weights(plan, measured.losses, matrix, measured.present, scale)
        return weights, split.pulled_back(gram.weighted_sum(weights, parts), shared)
    if plan.scope == "last_layer":
        variables = plan.last_shared_variables
        rows = [everywhere(split.pulled_back(row, variables), variables) for row in at_cut]
        matrix = gram.gramian(gram.blocks(rows), len(plan.names))
        weights = _weights(plan, measured.losses, matrix, measured.present, scale)
        return weights, split.pulled_back(gram.weighted_sum(weights, gram.blocks(at_cut)), shared)
    rows = [split.pulled_back(row, shared) for row in at_cut]
    if plan.weighting.reads == "jacobian":
        like = [v.value for v in shared]
        jacobian = replicas.total(gram.flatten(rows, like)) / scale
        direction = plan.weighting.call(measured.losses, jacobian, measured.present)
        direction = tf.cast(direction, tf.float32) * scale / replicas.count()
        return None, gram.unflatten(direction, like)
    parts = gram.blocks([everywhere(row, shared) for row in rows])
    weights = _weights(plan, measured.losses, gram.gramian(parts, len(plan.names)), measured.present, scale)
    return weights, gram.weighted_sum(weights / replicas.count(), parts)


def _from_halves(plan: StepPlan, split: SplitPass, scale: tf.Tensor) -> tuple:
    """As `_from_whole`, for methods that read J1 J2' of two halves and apply their weights to the whole batch."""
    measured = split.measured
    counts = [part.counts for part in split.parts]
    portions = [tf.math.divide_no_nan(own, measured.counts) for own in counts]
    cuts, heads = zip(*[split.at_cut_and_heads(which) for which in (0, 1)], strict=True)
    in_heads = _portioned(portions, heads)
    if not plan.shared_variables:
        return tf.ones_like(measured.losses), [], in_heads
    present = split.parts[0].present & split.parts[1].present
    variables = plan.shared_variables if plan.scope == "parameters" else plan.last_shared_variables
    halves = [[split.pulled_back(row, variables) for row in at_cut] for at_cut in cuts]
    matrix = gram.cross_gramian(*[[everywhere(row, variables) for row in rows] for rows in halves])
    weights = _weights(plan, measured.losses, matrix, present, scale)
    if plan.scope == "parameters":
        return weights, gram.weighted_sum(weights, gram.blocks(_portioned(portions, halves))), in_heads
    whole = gram.weighted_sum(weights, gram.blocks(_portioned(portions, cuts)))
    return weights, split.pulled_back(whole, plan.shared_variables), in_heads


def _weights(plan: StepPlan, losses: tf.Tensor, matrix: tf.Tensor, present: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The method's weights, from the Gramian of unscaled gradients without absent tasks."""
    there = tf.cast(present, tf.float64)
    matrix = matrix / tf.cast(scale, tf.float64) ** 2 * there[:, None] * there[None, :]
    return tf.cast(plan.weighting.call(losses, matrix, present), tf.float32)


def _portioned(portions: list[tf.Tensor], halves: Any) -> list[gram.Row]:
    """Gradients of the whole batch from those of its halves: means weighted by the halves' label counts."""
    rows = []
    for k, (first, second) in enumerate(zip(*halves, strict=True)):
        pieces = zip(first, second, strict=True)
        rows.append([_plus(_times(portions[0][k], a), _times(portions[1][k], b)) for a, b in pieces])
    return rows


def everywhere(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
    """A row summed over replicas."""
    if replicas.count() == 1:
        return row
    return replicas.total([tf.zeros_like(v.value) if g is None else g for g, v in zip(row, variables, strict=True)])


def _times(factor: tf.Tensor, gradient: tf.Tensor | None) -> tf.Tensor | None:
    return None if gradient is None else tf.cast(factor, gradient.dtype) * gradient


def _plus(gradient: tf.Tensor | None, extra: tf.Tensor | None) -> tf.Tensor | None:
    if gradient is None or extra is None:
        return extra if gradient is None else gradient
    return gradient + extra

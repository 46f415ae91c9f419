"""A step by single tasks' gradients: trunk once, heads once, trunk backward as often as method and scope ask.

| method and scope        | backwards through the trunk | Gramian of |
|-------------------------|-----------------------------|------------|
| reads losses            | 1                           | |
| gradients, `parameters` | K                           | all shared variables |
| gradients, `features`   | 1                           | the cut, flattened over batch and features |
| gradients, `last_layer` | 1, and K through one layer  | the last shared layer's variables |
| the same, `dense_end`   | 1, on one replica           | the same, see `gradients/dense.py` |
"""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import groups, replicas
from mtl_keras.training import finite
from mtl_keras.training.measure import Measured
from mtl_keras.training.split_pass import SplitPass
from mtl_keras.training.step_plan import StepPlan


def gradient_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, examples: tf.Tensor) -> tuple:
    """Gradients of one batch, without the tasks whose loss or gradient is not finite.

    Returns:
        The batch's losses, the forward pass, the applied weights [K] (for aggregators those of the loss weighting
        before them, if there is one, else ones), what was added to the losses, and `(gradient, variable)` pairs, this
        replica's share of each.
    """
    scale = model.optimizer.scale_loss(tf.ones([]))
    split = SplitPass(model, plan, x, y, sample_weight)
    found = [_of_tasks(plan, split, part) for part in range(len(split.parts))]
    parts, matrix = _gramian(plan, split, found)
    overflowed = _overflowed(plan, found, matrix)
    measured = split.measured.without(overflowed, finite.skips_whole_steps(model.optimizer))
    factors, pairs, penalty = loss_factors(plan, measured, scale)
    if plan.weighting.reads == "losses":
        ((at_cut, in_heads, _),) = found
        weights, shared = factors, []
        if plan.shared_variables:
            whole = weighted(measured.of_present(factors), at_cut)
            shared = split.pulled_back(whole, plan.shared_variables, dense=False)
    elif plan.weighting.cross_gramian:
        weights, shared, in_heads = _from_halves(plan, split, measured, found, scale)
    else:
        ((at_cut, in_heads, in_shared),) = found
        if matrix is None:
            weights, shared = from_parameters(plan, measured, in_shared, scale)
        else:
            weights = weights_from(plan, measured.losses, matrix, measured.present, scale)
            shared = _weighted_shared(plan, split, weights, at_cut, parts)
    if weights is None:
        weights = tf.ones_like(measured.losses) if factors is None else factors
    in_training = weights if plan.head_gradients == "weighted" else factors
    in_heads = groups.scaled(in_heads, measured.of_present(in_training))
    pairs += zip(shared, plan.shared_variables, strict=True)
    for name, gradients in zip(plan.names, in_heads, strict=True):
        pairs += zip(gradients, plan.task_variables[name], strict=True)
    if model.losses:
        # regularization moves the variables of outputs that are not trained, too
        reached = {id(variable) for _, variable in pairs}
        pairs += [(None, variable) for variable in model.trainable_variables if id(variable) not in reached]
        extra = split.of_added([v for _, v in pairs], scale * replicas.portion(examples))
        pairs = [(plus(g, e), v) for (g, v), e in zip(pairs, extra, strict=True)]
    return measured, split.forward, weights, split.added if penalty is None else split.added + penalty, pairs


def _of_tasks(plan: StepPlan, split: SplitPass, part: int) -> list[list[gram.Row]]:
    """Rows of all tasks: at the cut, in their heads, and in the shared variables that the method reads."""
    at_cut, in_heads = split.at_cut_and_heads(part)
    variables: list[keras.Variable] = []
    if plan.weighting.reads != "losses" and (not _stays_at_cut(plan) or plan.weighting.cross_gramian):
        variables = plan.shared_variables if plan.scope == "parameters" else plan.last_shared_variables
    return [at_cut, in_heads, [split.pulled_back(row, variables) if variables else [] for row in at_cut]]


def _stays_at_cut(plan: StepPlan) -> bool:
    """Whether the Gramian is taken from gradients at the cut alone."""
    # the gradient of a variable is known only when it is summed over replicas
    return plan.scope == "features" or (
        plan.dense_end is not None and plan.dense_end.is_known and replicas.count() == 1
    )


def loss_factors(plan: StepPlan, measured: Measured, scale: tf.Tensor) -> tuple:
    """Of a loss weighting, alone or before a gradient method: weights [K], gradients of what it trains, penalty.

    Weights are None where there is no such weighting.
    """
    weighting = plan.weighting
    weigh = weighting.call if weighting.reads == "losses" else weighting.loss_factors
    variables = weighting.trainable_variables
    with tf.GradientTape() as tape:
        factors = weigh(measured.losses, measured.present)
        if factors is None:
            return None, [], None
        factors = tf.cast(factors, tf.float32)
        penalty = weighting.penalty(measured.present)
        total = tf.reduce_sum(factors * measured.losses)
        total = scale / replicas.count() * (total if penalty is None else total + penalty)
    gradients = tape.gradient(total, [v.value for v in variables]) if variables else []
    return tf.stop_gradient(factors), list(zip(gradients, variables, strict=True)), penalty


def _gramian(plan: StepPlan, split: SplitPass, found: list[list[list[gram.Row]]]) -> tuple[Any, Any]:
    """Blocks of the gradients that the method reads, and their Gramian with the loss scale; None if it reads none."""
    if plan.weighting.reads != "gramian" or plan.weighting.cross_gramian or not plan.shared_variables:
        return None, None
    ((at_cut, _, in_shared),) = found
    if _stays_at_cut(plan):
        parts = gram.blocks(at_cut)
        if plan.dense_end is not None:
            return parts, split.dense_gramian(plan.dense_end, at_cut)
        return parts, replicas.total(gram.gramian(parts, len(plan.names)))
    variables = plan.shared_variables if plan.scope == "parameters" else plan.last_shared_variables
    parts = gram.blocks([everywhere(row, variables) for row in in_shared])
    return parts, gram.gramian(parts, len(plan.names))


def _overflowed(plan: StepPlan, found: list[list[list[gram.Row]]], matrix: tf.Tensor | None) -> tf.Tensor:
    """Which tasks have a gradient that is not finite, bool [K]."""
    if matrix is None:
        return finite.overflowed([rows for of_part in found for rows in of_part])
    # gradients in the Gramian need no look at each of their numbers: their lengths say it
    ((at_cut, in_heads, _),) = found
    others = [in_heads] if _stays_at_cut(plan) else [at_cut, in_heads]
    return finite.overflowed(others) | ~tf.math.is_finite(tf.linalg.diag_part(matrix))


def _weighted_shared(
    plan: StepPlan, split: SplitPass, weights: tf.Tensor, at_cut: list[gram.Row], parts: Any
) -> gram.Row:
    """This replica's share of the shared gradient, by the weights of the blocks' Gramian."""
    shared, last = plan.shared_variables, plan.last_shared_variables
    if _stays_at_cut(plan):
        return split.pulled_back(gram.weighted_sum(weights, parts), shared)
    known = gram.weighted_sum(weights / replicas.count(), parts)
    if plan.scope == "parameters":
        return known
    at_last = {id(v): g for v, g in zip(last, known, strict=True)}
    others = [v for v in shared if id(v) not in at_last]
    pulled_back = iter(split.pulled_back(gram.weighted_sum(weights, gram.blocks(at_cut)), others))
    return [at_last[id(v)] if id(v) in at_last else next(pulled_back) for v in shared]


def from_parameters(plan: StepPlan, measured: Measured, in_shared: list[gram.Row], scale: tf.Tensor) -> tuple:
    """Applied weights [K] and this replica's share of the shared gradient, from its share of every task's.

    Weights are None for aggregators.
    """
    shared = plan.shared_variables
    if not shared:
        return tf.ones_like(measured.losses), []
    if plan.weighting.reads == "jacobian":
        like = [v.value for v in shared]
        jacobian = replicas.total(gram.flatten(in_shared, like)) / scale
        jacobian = tf.where(measured.present[:, None], jacobian, 0.0)
        direction = plan.weighting.call(measured.losses, jacobian, measured.present)
        direction = tf.cast(direction, tf.float32) * scale / replicas.count()
        return None, gram.unflatten(direction, like)
    parts = gram.blocks([everywhere(row, shared) for row in in_shared])
    weights = weights_from(plan, measured.losses, gram.gramian(parts, len(plan.names)), measured.present, scale)
    return weights, gram.weighted_sum(weights / replicas.count(), parts)


def _from_halves(plan: StepPlan, split: SplitPass, measured: Measured, found: Any, scale: tf.Tensor) -> tuple:
    """As `from_parameters`, for methods that read J1 J2' of two halves and apply their weights to the whole batch."""
    portions = [tf.math.divide_no_nan(part.counts, measured.counts) for part in split.parts]
    cuts, heads, halves = zip(*found, strict=True)
    in_heads = _portioned(portions, heads)
    if not plan.shared_variables:
        return tf.ones_like(measured.losses), [], in_heads
    present = measured.present & split.parts[0].present & split.parts[1].present
    variables = plan.shared_variables if plan.scope == "parameters" else plan.last_shared_variables
    matrix = gram.cross_gramian(*[[everywhere(row, variables) for row in rows] for rows in halves])
    weights = weights_from(plan, measured.losses, matrix, present, scale)
    if plan.scope == "parameters":
        return weights, gram.weighted_sum(weights, gram.blocks(_portioned(portions, halves))), in_heads
    whole = gram.weighted_sum(weights, gram.blocks(_portioned(portions, cuts)))
    return weights, split.pulled_back(whole, plan.shared_variables), in_heads


def weights_from(
    plan: StepPlan, losses: tf.Tensor, matrix: tf.Tensor, present: tf.Tensor, scale: tf.Tensor
) -> tf.Tensor:
    """The method's weights, from the Gramian of unscaled gradients without absent tasks."""
    matrix = tf.where(present[:, None] & present[None, :], matrix / tf.cast(scale, tf.float64) ** 2, 0.0)
    return tf.cast(plan.weighting.call(losses, matrix, present), tf.float32)


def _portioned(portions: list[tf.Tensor], halves: Any) -> list[gram.Row]:
    """Gradients of the whole batch from those of its halves: means weighted by the halves' label counts."""
    first, second = (groups.scaled(rows, portion) for portion, rows in zip(portions, halves, strict=True))
    return [[plus(a, b) for a, b in zip(*pieces, strict=True)] for pieces in zip(first, second, strict=True)]


def everywhere(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
    """A row summed over replicas."""
    if replicas.count() == 1:
        return row
    return replicas.total([tf.zeros_like(v.value) if g is None else g for g, v in zip(row, variables, strict=True)])


def weighted(weights: tf.Tensor, rows: list[gram.Row]) -> gram.Row:
    """The weighted sum of K rows, added in float32; a weight of 0 hides what is not finite."""
    summed: gram.Row = []
    weight_of = tf.unstack(weights, num=len(rows))
    for pieces in zip(*rows, strict=True):
        there = [(tf.cast(piece, tf.float32), k) for k, piece in enumerate(pieces) if piece is not None]
        terms = [tf.math.multiply_no_nan(piece, weight_of[k]) for piece, k in there]
        dtype = next((piece.dtype for piece in pieces if piece is not None), None)
        summed.append(tf.cast(tf.add_n(terms), dtype) if terms else None)
    return summed


def plus(gradient: tf.Tensor | None, extra: tf.Tensor | None) -> tf.Tensor | None:
    if gradient is None or extra is None:
        return extra if gradient is None else gradient
    return gradient + extra

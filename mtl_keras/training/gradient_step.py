"""A step that reads task gradients: trunk once, head gradients at the cut, trunk backward as often as the scope asks.

| scope        | backwards through the trunk | Gramian of |
|--------------|-----------------------------|------------|
| `parameters` | K                           | all shared variables |
| `features`   | 1                           | the cut, flattened over batch and features |
| `last_layer` | 1, and K through one layer  | the last shared layer's variables |
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import replicas
from mtl_keras.training.added import added_losses
from mtl_keras.training.measure import Measured, measure
from mtl_keras.training.step_plan import StepPlan

# from a gradient at the cut to one of these shared variables
Pullback = Callable[[gram.Row, list[keras.Variable]], gram.Row]


def gradient_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> tuple:
    """Gradients of one batch, with the weights of a method that reads gradients.

    Returns:
        The batch's losses, the forward pass, the applied weights [K] (ones for aggregators), what was added to the
        losses, and `(gradient, variable)` pairs, this replica's share of each.
    """
    assert plan.trunk is not None, "compile plans both halves for methods that read gradients"
    assert plan.heads is not None
    scale = model.optimizer.scale_loss(tf.ones([]))
    own = [plan.task_variables[name] for name in plan.names]
    with tf.GradientTape(persistent=True) as tape:
        cut = keras.tree.flatten(plan.trunk(x, training=True))
        with tf.GradientTape(persistent=True) as head_tape:
            head_tape.watch([tensor for tensor in cut if tensor.dtype.is_floating])
            forward = plan.heads(cut, training=True)
            measured = measure(plan, forward, y, sample_weight, training=True)
            parts = [measured]
            if plan.weighting.cross_gramian:
                parts = [
                    measure(plan, forward, y, _half(sample_weight, plan.names, cut[0], which), training=True)
                    for which in (0, 1)
                ]
            shares = [[scale * share for share in tf.unstack(part.shares)] for part in parts]
        added = added_losses(model)

    def at_cut_and_heads(shares: list[tf.Tensor]) -> tuple[list[gram.Row], list[gram.Row]]:
        at_cut, in_heads = [], []
        for share, variables in zip(shares, own, strict=True):
            found = head_tape.gradient(share, [*cut, *[v.value for v in variables]])
            inputs = zip(found[: len(cut)], plan.cut_from_inputs, strict=True)
            at_cut.append([None if from_inputs else _dense(g) for g, from_inputs in inputs])
            in_heads.append([_dense(g) for g in found[len(cut) :]])
        return at_cut, in_heads

    def pulled_back(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
        reached = [(tensor, g) for tensor, g in zip(cut, row, strict=True) if g is not None]
        tensors, gradients = [t for t, _ in reached], [g for _, g in reached]
        return [_dense(g) for g in tape.gradient(tensors, [v.value for v in variables], output_gradients=gradients)]

    found = [at_cut_and_heads(part) for part in shares]
    if plan.weighting.cross_gramian:
        portions = [tf.math.divide_no_nan(part.counts, measured.counts) for part in parts]
        in_heads = _portioned(portions, [heads for _, heads in found])
        cuts = [at_cut for at_cut, _ in found]
        weights, shared = _combine_halves(plan, measured, parts, cuts, portions, pulled_back, scale)
    else:
        ((at_cut, in_heads),) = found
        weights, shared = _combine(plan, measured, at_cut, pulled_back, scale)
    pairs = list(zip(shared, plan.shared_variables, strict=True))
    for k, (gradients, variables) in enumerate(zip(in_heads, own, strict=True)):
        if plan.head_gradients == "weighted":
            gradients = [None if g is None else tf.cast(weights[k], g.dtype) * g for g in gradients]
        pairs += list(zip(gradients, variables, strict=True))
    if model.losses:
        share = scale / replicas.count()
        extra = tape.gradient(added, [v.value for _, v in pairs], output_gradients=share)
        pairs = [(_plus(g, _dense(e)), v) for (g, v), e in zip(pairs, extra, strict=True)]
    return measured, forward, weights, added, pairs


def _combine(plan: StepPlan, measured: Measured, at_cut: list[gram.Row], pulled_back: Pullback, scale: Any) -> tuple:
    """Applied weights [K] (ones for aggregators) and this replica's share of the shared gradient."""
    weighting, shared = plan.weighting, plan.shared_variables
    if not shared:
        return tf.ones_like(measured.losses), []
    if plan.scope == "features":
        weights = _weights(plan, measured.losses, replicas.total(gram.gramian(at_cut)), measured.present, scale)
        return weights, pulled_back(gram.weighted_sum(weights, at_cut), shared)
    if plan.scope == "last_layer":
        rows = [_everywhere(pulled_back(row, plan.last_shared_variables), plan.last_shared_variables) for row in at_cut]
        weights = _weights(plan, measured.losses, gram.gramian(rows), measured.present, scale)
        return weights, pulled_back(gram.weighted_sum(weights, at_cut), shared)
    rows = [pulled_back(row, shared) for row in at_cut]
    if weighting.reads == "jacobian":
        like = [v.value for v in shared]
        jacobian = replicas.total(gram.flatten(rows, like)) / scale
        direction = weighting.call(measured.losses, jacobian, measured.present)
        direction = tf.cast(direction, tf.float32) * scale / replicas.count()
        return tf.ones_like(measured.losses), gram.unflatten(direction, like)
    matrix = gram.gramian([_everywhere(row, shared) for row in rows])
    weights = _weights(plan, measured.losses, matrix, measured.present, scale)
    return weights, gram.weighted_sum(weights, rows)


def _combine_halves(
    plan: StepPlan,
    measured: Measured,
    parts: list[Measured],
    cuts: list[list[gram.Row]],
    portions: list[tf.Tensor],
    pulled_back: Pullback,
    scale: tf.Tensor,
) -> tuple:
    """As `_combine`, for methods that read J1 J2' of two halves and apply their weights to the whole batch."""
    present = parts[0].present & parts[1].present
    variables = plan.shared_variables if plan.scope == "parameters" else plan.last_shared_variables
    halves = [[pulled_back(row, variables) for row in at_cut] for at_cut in cuts]
    matrix = gram.cross_gramian(*[[_everywhere(row, variables) for row in rows] for rows in halves])
    weights = _weights(plan, measured.losses, matrix, present, scale)
    if plan.scope == "parameters":
        return weights, gram.weighted_sum(weights, _portioned(portions, halves))
    whole = gram.weighted_sum(weights, _portioned(portions, cuts))
    return weights, pulled_back(whole, plan.shared_variables)


def _weights(plan: StepPlan, losses: tf.Tensor, matrix: tf.Tensor, present: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The method's weights, from the Gramian of unscaled gradients without absent tasks."""
    there = tf.cast(present, tf.float64)
    matrix = matrix / tf.cast(scale, tf.float64) ** 2 * there[:, None] * there[None, :]
    return tf.cast(plan.weighting.call(losses, matrix, present), tf.float32)


def _half(sample_weight: dict[str, Any], names: list[str], like: tf.Tensor, which: int) -> dict[str, tf.Tensor]:
    """Sample weights that leave every second example, from the first (0) or the second (1) on."""
    keep = tf.cast(tf.range(tf.shape(like)[0]) % 2 == which, tf.float32)

    def kept(given: Any) -> tf.Tensor:
        if given is None:
            return keep
        given = tf.cast(given, tf.float32)
        return given * tf.reshape(keep, [-1] + [1] * (given.shape.rank - 1))

    return {name: kept(sample_weight.get(name)) for name in names}


def _portioned(portions: list[tf.Tensor], halves: list[list[gram.Row]]) -> list[gram.Row]:
    """Gradients of the whole batch from those of its halves: means weighted by the halves' label counts."""
    rows = []
    for k, pair in enumerate(zip(*halves, strict=True)):
        rows.append(gram.weighted_sum(tf.stack([portion[k] for portion in portions]), list(pair)))
    return rows


def _everywhere(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
    """A row summed over replicas."""
    if replicas.count() == 1:
        return row
    return replicas.total([tf.zeros_like(v.value) if g is None else g for g, v in zip(row, variables, strict=True)])


def _dense(gradient: Any) -> tf.Tensor | None:
    """Gradients of embeddings come as slices; the Gramian wants them whole."""
    return gradient if gradient is None else tf.convert_to_tensor(gradient)


def _plus(gradient: tf.Tensor | None, extra: tf.Tensor | None) -> tf.Tensor | None:
    if gradient is None or extra is None:
        return extra if gradient is None else gradient
    return gradient + extra

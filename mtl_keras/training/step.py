"""One training step and one evaluation step, for every kind of weighting."""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import replicas
from mtl_keras.training.graph_errors import assert_in_graph
from mtl_keras.training.hold import hold_absent
from mtl_keras.training.losses import TaskLosses, task_losses
from mtl_keras.training.step_plan import StepPlan

_ABOVE_ZERO = 1e-12  # what a loss of exactly 0 counts as, for methods that take its logarithm


@dataclass(frozen=True)
class Measured:
    """Losses of one batch.

    Attributes:
        found: Sums and counts on this replica.
        shares: This replica's share of each scaled global loss [K], differentiable; the shares of all replicas add up.
        losses: The scaled global losses [K], the same on every replica, constants.
        present: Which tasks have a label in the global batch, bool [K].
    """

    found: TaskLosses
    shares: tf.Tensor
    losses: tf.Tensor
    present: tf.Tensor


def measure(plan: StepPlan, forward: dict[str, Any], y: Any, sample_weight: Any, training: bool) -> Measured:
    """Losses of a batch from the outputs of the forward pass, normalised over the global batch."""
    found = task_losses(plan.tasks, y, forward["output"], forward["loss_input"], sample_weight, training)
    own = tf.stop_gradient(tf.stack([found.sums, found.counts]))
    sums, counts = tf.unstack(replicas.total(own))
    losses = plan.loss_scale * tf.math.divide_no_nan(sums, counts)
    if plan.weighting.positive_losses and training:
        text = f"Expected losses of at least 0 for weighting {plan.weighting.name!r}. Received: {plan.names}="
        do = ". Do choose losses that cannot be negative, or a weighting that takes no logarithm."
        check = assert_in_graph(tf.reduce_all(losses >= 0.0), text, tf.strings.as_string(losses), do)
        with tf.control_dependencies([] if check is None else [check]):
            losses = tf.where(counts > 0.0, tf.maximum(losses, _ABOVE_ZERO), 0.0)
    shares = plan.loss_scale * tf.math.divide_no_nan(found.sums, counts)
    return Measured(found, shares, losses, counts > 0.0)


def train_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> None:
    """Move the model's variables by one step and take the batch into trackers and metrics."""
    hold = hold_absent(model, plan, y, sample_weight)
    take_step = _loss_step if plan.weighting.reads == "losses" else _gradient_step
    measured, forward, weights, added, gradients = take_step(model, plan, x, y, sample_weight)
    moved = [(gradient, variable) for gradient, variable in gradients if gradient is not None]
    if moved:
        model.optimizer.apply_gradients(moved)
    hold.release(measured.present)
    if plan.weighting.second_forward:
        again = measure(plan, plan.whole(x, training=True), y, sample_weight, training=True)
        plan.weighting.after_step(measured.losses, again.losses, measured.present)
    _track(plan, measured, forward, plan.loss_scale * tf.cast(weights, tf.float32), added, x)


def test_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> None:
    """Take a batch into trackers and metrics."""
    forward = plan.whole(x, training=False)
    measured = measure(plan, forward, y, sample_weight, training=False)
    _track(plan, measured, forward, plan.evaluation_weights(), _added(model), x)


def _track(plan: StepPlan, measured: Measured, forward: Any, weights: tf.Tensor, added: tf.Tensor, x: Any) -> None:
    found = measured.found
    examples = tf.shape(keras.tree.flatten(x)[0])[0]
    plan.tracker.update_state(found.sums, found.counts, weights, added, examples)
    plan.update_metrics(found.labels, forward["output"], found.masks, found.weights)


def _added(model: keras.Model) -> tf.Tensor:
    """Regularization and `add_loss` terms, never weighted."""
    terms = [tf.cast(tf.reduce_sum(loss), tf.float32) for loss in model.losses]
    return tf.add_n(terms) if terms else tf.zeros([])


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
        added = _added(model)
        penalty = weighting.penalty(measured.present)
        if penalty is not None:
            added += penalty
        total = tf.reduce_sum(weights * measured.shares) + added / replicas.count()
        total = model.optimizer.scale_loss(total)
    gradients = tape.gradient(total, [v.value for v in variables])
    return measured, forward, tf.stop_gradient(weights), added, list(zip(gradients, variables, strict=True))


def _gradient_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any) -> tuple:
    """Weights or a direction from task gradients, taken at the parameters, at the cut or at the last shared layer."""
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
            shares = [scale * share for share in tf.unstack(measured.shares)]
        added = _added(model)
    at_cut, head_gradients = [], []
    for share, variables in zip(shares, own, strict=True):
        found = head_tape.gradient(share, [*cut, *[v.value for v in variables]])
        inputs = zip(found[: len(cut)], plan.cut_from_inputs, strict=True)
        at_cut.append([None if from_inputs else _dense(g) for g, from_inputs in inputs])
        head_gradients.append([_dense(g) for g in found[len(cut) :]])

    def pulled_back(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
        """Gradient at the cut to gradient of shared variables."""
        reached = [(tensor, g) for tensor, g in zip(cut, row, strict=True) if g is not None]
        tensors, gradients = [t for t, _ in reached], [g for _, g in reached]
        return [_dense(g) for g in tape.gradient(tensors, [v.value for v in variables], output_gradients=gradients)]

    weights, shared = _combine(plan, measured, at_cut, pulled_back, scale)
    pairs = list(zip(shared, plan.shared_variables, strict=True))
    for k, (gradients, variables) in enumerate(zip(head_gradients, own, strict=True)):
        if plan.head_gradients == "weighted":
            gradients = [None if g is None else tf.cast(weights[k], g.dtype) * g for g in gradients]
        pairs += list(zip(gradients, variables, strict=True))
    if model.losses:
        share = scale / replicas.count()
        extra = tape.gradient(added, [v.value for _, v in pairs], output_gradients=share)
        pairs = [(_plus(g, _dense(e)), v) for (g, v), e in zip(pairs, extra, strict=True)]
    return measured, forward, weights, added, pairs


def _combine(plan: StepPlan, measured: Measured, at_cut: list, pulled_back: Any, scale: tf.Tensor) -> tuple:
    """Applied weights [K] (ones for aggregators) and this replica's share of the shared gradient."""
    weighting, shared = plan.weighting, plan.shared_variables
    if not shared:
        return tf.ones_like(measured.losses), []
    if plan.scope == "features":
        matrix = replicas.total(gram.gramian(at_cut))
        weights = _weights(weighting, measured, matrix, scale)
        return weights, pulled_back(gram.weighted_sum(weights, at_cut), shared)
    if plan.scope == "last_layer":
        last = plan.last_shared_variables
        rows = [replicas.total(_zeros_for(pulled_back(row, last), last)) for row in at_cut]
        weights = _weights(weighting, measured, gram.gramian(rows), scale)
        return weights, pulled_back(gram.weighted_sum(weights, at_cut), shared)
    rows = [pulled_back(row, shared) for row in at_cut]
    if weighting.reads == "jacobian":
        like = [v.value for v in shared]
        jacobian = replicas.total(gram.flatten(rows, like)) / scale
        direction = weighting.call(measured.losses, jacobian, measured.present)
        direction = tf.cast(direction, tf.float32) * scale / replicas.count()
        return tf.ones_like(measured.losses), gram.unflatten(direction, like)
    everywhere = rows if replicas.count() == 1 else [replicas.total(_zeros_for(row, shared)) for row in rows]
    weights = _weights(weighting, measured, gram.gramian(everywhere), scale)
    return weights, gram.weighted_sum(weights, rows)


def _weights(weighting: Any, measured: Measured, matrix: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    matrix = matrix / tf.cast(scale, tf.float64) ** 2
    present = tf.cast(measured.present, tf.float64)
    matrix = matrix * present[:, None] * present[None, :]
    return tf.cast(weighting.call(measured.losses, matrix, measured.present), tf.float32)


def _zeros_for(row: gram.Row, variables: list[keras.Variable]) -> gram.Row:
    return [tf.zeros_like(v.value) if g is None else g for g, v in zip(row, variables, strict=True)]


def _dense(gradient: Any) -> tf.Tensor | None:
    """Gradients of embeddings come as slices; the Gramian wants them whole."""
    return gradient if gradient is None else tf.convert_to_tensor(gradient)


def _plus(gradient: tf.Tensor | None, extra: tf.Tensor | None) -> tf.Tensor | None:
    if gradient is None or extra is None:
        return extra if gradient is None else gradient
    return gradient + extra

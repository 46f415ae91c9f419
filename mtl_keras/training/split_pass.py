"""One forward pass in two halves, trunk and heads, and the gradients of any task through either of them."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.gradients import gramian as gram
from mtl_keras.training.added import added_losses
from mtl_keras.training.dense_end import DenseEnd
from mtl_keras.training.measure import measure
from mtl_keras.training.step_plan import StepPlan


class SplitPass:
    """The forward pass of one batch, from which gradients of single tasks can be taken.

    Every head reads the cut through copies of its own, so that one backward pass through all heads keeps the tasks
    apart: it gives the gradient of every task at the cut and of every head variable at once.

    Args:
        model, plan, x, y, sample_weight: As `step.train_step` has them; the plan has both halves.
        losses_only: Leave out what the step wants beside the losses of the batch: those of its halves, and what is
            added to them.

    Attributes:
        forward: Outputs and what the losses read, by task.
        measured: The losses of the batch.
        parts: Losses of the two halves of the batch where the method wants these, else `[measured]`.
        added: What is added to the losses, a scalar.
    """

    def __init__(
        self, model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, losses_only: bool = False
    ):
        assert plan.trunk is not None, "compile plans both halves for methods that read gradients"
        self._plan = plan
        self._scale = model.optimizer.scale_loss(tf.ones([]))
        halves = (0, 1) if plan.weighting.cross_gramian and not losses_only else ()
        with tf.GradientTape(persistent=True) as self._tape:
            trunk = plan.trunk if plan.dense_end is None else plan.dense_end.trunk
            self._made = keras.tree.flatten(trunk(x, training=True))
            self._cut = self._made[: len(plan.trunk.outputs)]
            with tf.GradientTape(persistent=bool(halves)) as self._head_tape:
                self._copies = [[tf.identity(tensor) for tensor in self._cut] for _ in plan.names]
                self._head_tape.watch([t for own in self._copies for t in self._reached(own)])
                self.forward = self._through_heads()
                # before anything is summed over replicas: their threads meet there, and Keras keeps these in the layers
                self.added = tf.zeros([]) if losses_only else added_losses(model)
                self.measured = measure(plan, self.forward, y, sample_weight, training=True)
                self.parts = [self.measured]
                if halves:
                    every_second = [_half(sample_weight, plan.names, self._cut[0], which) for which in halves]
                    self.parts = [measure(plan, self.forward, y, kept, training=True) for kept in every_second]
                self._totals = [self._scale * tf.reduce_sum(part.shares) for part in self.parts]

    def _through_heads(self) -> dict[str, Any]:
        forward: dict[str, Any] = {"output": {}, "loss_input": {}}
        for name, copies in zip(self._plan.names, self._copies, strict=True):
            for kind, tensor in self._plan.heads[name](copies, training=True).items():
                forward[kind][name] = tensor
        return forward

    def at_cut_and_heads(self, part: int = 0) -> tuple[list[gram.Row], list[gram.Row]]:
        """Per task, this replica's share of its gradient at the cut and of its own variables, with the loss scale."""
        plan = self._plan
        copies = [self._reached(own) for own in self._copies]
        own = [[v.value for v in plan.task_variables[name]] for name in plan.names]
        found = self._head_tape.gradient(self._totals[part], [copies, own])
        at_cut = []
        for row in found[0]:
            gradients = iter(row)
            at_cut.append([_dense(next(gradients)) if reached else None for reached in self._is_reached()])
        return at_cut, [[_dense(g) for g in row] for row in found[1]]

    def dense_gramian(self, end: DenseEnd, at_cut: list[gram.Row]) -> tf.Tensor:
        """The Gramian of the plan's dense end from the tasks' gradients at the cut, with the loss scale."""
        return end.gramian(self._made[-1], self._made[0], at_cut)

    def _is_reached(self) -> list[bool]:
        """For each cut tensor, whether gradients flow on from it to shared variables."""
        pairs = zip(self._cut, self._plan.cut_from_inputs, strict=True)
        trained = bool(self._plan.shared_variables)
        return [trained and tensor.dtype.is_floating and not is_input for tensor, is_input in pairs]

    def _reached(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        return [tensor for tensor, reached in zip(tensors, self._is_reached(), strict=True) if reached]

    def pulled_back(self, row: gram.Row, variables: list[keras.Variable], dense: bool = True) -> gram.Row:
        """A gradient at the cut, carried back through the trunk to some of the shared variables.

        Args:
            row: One piece for each cut tensor.
            variables: To where.
            dense: Whether gradients of embeddings are to be whole, not in slices.
        """
        reached = [(tensor, g) for tensor, g in zip(self._cut, row, strict=True) if g is not None]
        tensors, gradients = [t for t, _ in reached], [g for _, g in reached]
        found = self._tape.gradient(tensors, [v.value for v in variables], output_gradients=gradients)
        return [_dense(g) for g in found] if dense else found

    def of_added(self, variables: list[keras.Variable], share: tf.Tensor) -> gram.Row:
        """The gradient of what is added to the losses, times `share`."""
        return [_dense(g) for g in self._tape.gradient(self.added, [v.value for v in variables], share)]


def _half(sample_weight: dict[str, Any], names: list[str], like: tf.Tensor, which: int) -> dict[str, tf.Tensor]:
    """Sample weights that leave every second example, from the first (0) or the second (1) on."""
    keep = tf.cast(tf.range(tf.shape(like)[0]) % 2 == which, tf.float32)

    def kept(given: Any) -> tf.Tensor:
        if given is None:
            return keep
        given = tf.cast(given, tf.float32)
        return given * tf.reshape(keep, [-1] + [1] * (given.shape.rank - 1))

    return {name: kept(sample_weight.get(name)) for name in names}


def _dense(gradient: Any) -> tf.Tensor | None:
    """Gradients of embeddings come as slices; the Gramian wants them whole."""
    return gradient if gradient is None else tf.convert_to_tensor(gradient)

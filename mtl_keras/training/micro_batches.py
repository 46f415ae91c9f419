"""A large batch in several passes: the gradient of the whole, with the memory of a part.

Losses, gradients and Gramians of the parts are put together by their shares of the labels, so that they are those of
the whole batch and the method decides once, for all of it.

| method and scope                      | passes over every part |
|---------------------------------------|------------------------|
| reads losses                          | forward, for the losses; then forward and backward |
| gradients, `parameters`               | forward, and K trunk backwards |
| gradients, `features`, `last_layer`   | forward and what the Gramian takes; then forward and backward |

The first of two passes draws the dropout masks of the second one and moves no statistics.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.gradients import gramian as gram
from mtl_keras.gradients import groups, replicas
from mtl_keras.training import finite
from mtl_keras.training.gradient_step import everywhere, from_parameters, loss_factors, plus, weighted, weights_from
from mtl_keras.training.losses import TaskLosses
from mtl_keras.training.measure import Measured, measure
from mtl_keras.training.parts import Batch, part_of
from mtl_keras.training.split_pass import SplitPass
from mtl_keras.training.step_plan import StepPlan


def check_micro_batches(plan: StepPlan) -> None:
    """Refuse what cannot be put together from parts.

    Raises:
        ValueError: The number is no whole number of at least 1, the method looks at the batch in another way, or the
            graph has no clean cut.
    """
    number, weighting = plan.micro_batches, plan.weighting
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(message("a whole number of at least 1 for micro_batches", "correct it", micro_batches=number))
    if number == 1:
        return
    needs = {
        "two halves of each batch": weighting.cross_gramian,
        "each batch again after the step": weighting.second_forward,
        "other examples beside each batch": weighting.validation_batches,
    }
    for need, wanted in needs.items():
        if wanted:
            raise ValueError(
                message(
                    f"one micro-batch with weighting {weighting.name!r}, which takes {need}",
                    "leave micro_batches at 1, or choose another weighting",
                    micro_batches=number,
                )
            )
    if plan.trunk is None:
        raise ValueError(
            message(
                "a graph with a clean cut between trunk and heads, for micro_batches above 1",
                "pass features=[...] with the names of layers that together feed every head",
                micro_batches=number,
            )
        )


def micro_step(model: keras.Model, plan: StepPlan, x: Any, y: Any, sample_weight: Any, examples: tf.Tensor) -> tuple:
    """Gradients of one batch taken part by part; arguments and result as for `gradient_step`."""
    step = _MicroStep(model, plan, (x, y, sample_weight), examples)
    return step.in_one_pass() if plan.weighting.reads != "losses" and plan.scope == "parameters" else step.in_two()


class _MicroStep:
    """One step over the parts of a batch."""

    def __init__(self, model: keras.Model, plan: StepPlan, batch: Batch, examples: tf.Tensor):
        self.model, self.plan, self.batch, self.examples = model, plan, batch, examples
        self.scale = model.optimizer.scale_loss(tf.ones([]))
        self.own = [plan.task_variables[name] for name in plan.names]
        self.added = tf.zeros([])
        self.extra: gram.Row = []
        self.reached = [*plan.shared_variables, *(v for row in self.own for v in row)]
        known = {id(v) for v in self.reached}
        self.others = [v for v in model.trainable_variables if id(v) not in known]

    def parts(self) -> Iterator[tuple[Batch, tf.Tensor]]:
        """The parts one after the other: each begins when what was made of the one before is there."""
        done: list[Any] = []
        for index in range(self.plan.micro_batches):
            with tf.control_dependencies(done):
                batch, examples = part_of(self.plan, self.batch, index, self.plan.micro_batches)
                batch = keras.tree.map_structure(tf.identity, batch)
            yield batch, examples
            done = [tensor for tensor in tf.nest.flatten(self.after) if tensor is not None]

    def in_one_pass(self) -> tuple:
        """For methods that read gradients of parameters, which add up."""
        plan, measured, overflowed = self.plan, [], []
        in_shared: Any = None
        in_heads: Any = None
        forwards = []
        for batch, examples in self.parts():
            split = SplitPass(self.model, plan, *batch)
            at_cut, heads = split.at_cut_and_heads()
            shared = [split.pulled_back(row, plan.shared_variables) for row in at_cut]
            overflowed.append(finite.overflowed([at_cut, heads, shared]))
            in_shared = _added(in_shared, groups.scaled(shared, split.measured.counts))
            in_heads = _added(in_heads, groups.scaled(heads, split.measured.counts))
            self._take_added(split, examples)
            measured.append(split.measured)
            forwards.append(split.forward)
            self.after = [in_shared, in_heads, self.extra]
        whole = _whole(plan, measured).without(_any(overflowed), finite.skips_whole_steps(self.model.optimizer))
        portion = whole.of_present(tf.math.divide_no_nan(1.0, whole.counts))
        in_shared = groups.scaled(in_shared, portion)
        factors, pairs, penalty = loss_factors(plan, whole, self.scale)
        weights, shared = from_parameters(plan, whole, in_shared, self.scale)
        if weights is None:
            weights = tf.ones_like(whole.losses) if factors is None else factors
        in_training = weights if plan.head_gradients == "weighted" else factors
        in_heads = groups.scaled(in_heads, portion if in_training is None else in_training * portion)
        return self._result(whole, forwards, weights, penalty, pairs, shared, in_heads)

    def in_two(self) -> tuple:
        """For all others: what the method reads in the first pass; with the weights found, gradients in the second."""
        plan = self.plan
        whole, matrix = self._look()
        factors, pairs, penalty = loss_factors(plan, whole, self.scale)
        weights = factors if matrix is None else weights_from(plan, whole.losses, matrix, whole.present, self.scale)
        in_training = weights if plan.weighting.reads == "losses" or plan.head_gradients == "weighted" else factors
        shared, in_heads, forwards = None, None, []
        overflowed = []
        for batch, examples in self.parts():
            split = SplitPass(self.model, plan, *batch)
            at_cut, heads = split.at_cut_and_heads()
            overflowed.append(finite.overflowed([at_cut, heads]) & whole.present)
            portion = whole.of_present(tf.math.divide_no_nan(split.measured.counts, whole.counts))
            portion = tf.where(overflowed[-1], 0.0, portion)
            if plan.shared_variables:
                row = split.pulled_back(weighted(weights * portion, at_cut), plan.shared_variables)
                shared = row if shared is None else [plus(a, b) for a, b in zip(shared, row, strict=True)]
            in_part = groups.scaled(heads, portion if in_training is None else in_training * portion)
            in_heads = _added(in_heads, in_part)
            self._take_added(split, examples)
            forwards.append(split.forward)
            self.after = [shared, in_heads, self.extra]
        # a task whose gradient overflows in one part sits out that part, and its head the step
        whole = whole.without(_any(overflowed), finite.skips_whole_steps(self.model.optimizer))
        return self._result(whole, forwards, weights, penalty, pairs, shared or [], in_heads)

    def _look(self) -> tuple[Measured, tf.Tensor | None]:
        """The first pass: the losses of the whole, and the Gramian for methods that read one."""
        plan, measured = self.plan, []
        reads_gradients = plan.weighting.reads != "losses"
        matrix, rows = tf.zeros([len(plan.names)] * 2, tf.float64), None
        with _nothing_moves(plan):
            for batch, _ in self.parts():
                if not reads_gradients:
                    x, y, sample_weight = batch
                    measured.append(measure(plan, plan.whole(x, training=True), y, sample_weight, training=True))
                    self.after = [measured[-1].found.sums]
                    continue
                split = SplitPass(self.model, plan, *batch, losses_only=True)
                measured.append(split.measured)
                at_cut, _ = split.at_cut_and_heads()
                counts = split.measured.of_present(split.measured.counts)
                if plan.scope == "features":
                    at_cut = [[None if g is None else tf.cast(g, tf.float32) for g in row] for row in at_cut]
                    matrix += gram.gramian(gram.blocks(groups.scaled(at_cut, counts)), len(plan.names))
                else:
                    at_last = [split.pulled_back(row, plan.last_shared_variables) for row in at_cut]
                    rows = _added(rows, groups.scaled(at_last, counts))
                self.after = [matrix, rows]
        whole = _whole(plan, measured)
        if not reads_gradients:
            return whole, None
        if rows is not None:
            rows = [everywhere(row, plan.last_shared_variables) for row in rows]
            matrix = gram.gramian(gram.blocks(rows), len(plan.names))
        else:
            matrix = replicas.total(matrix)
        portion = tf.cast(tf.math.divide_no_nan(1.0, whole.counts), tf.float64)
        matrix *= portion[:, None] * portion[None, :]
        overflowed = ~tf.math.is_finite(tf.linalg.diag_part(matrix))
        whole = whole.without(overflowed, finite.skips_whole_steps(self.model.optimizer))
        there = whole.present[:, None] & whole.present[None, :]
        return whole, tf.where(there, matrix, 0.0)

    def _take_added(self, split: SplitPass, examples: tf.Tensor) -> None:
        part = tf.math.divide_no_nan(examples, self.examples)
        self.added += part * split.added
        if self.model.losses:
            share = self.scale * replicas.portion(self.examples) * part
            extra = split.of_added([*self.reached, *self.others], share)
            self.extra = [plus(a, b) for a, b in zip(self.extra, extra, strict=True)] if self.extra else extra

    def _result(
        self,
        whole: Measured,
        forwards: list[Any],
        weights: tf.Tensor,
        penalty: tf.Tensor | None,
        pairs: list[Any],
        shared: gram.Row,
        in_heads: Any,
    ) -> tuple:
        pairs += zip([*shared, *(g for row in in_heads for g in row)], self.reached, strict=True)
        if self.extra:
            pairs += [(None, variable) for variable in self.others]
            first = len(pairs) - len(self.extra)
            both = zip(pairs[first:], self.extra, strict=True)
            pairs[first:] = [(plus(gradient, extra), variable) for (gradient, variable), extra in both]
        forward = {"output": _joined([forward["output"] for forward in forwards])}
        added = self.added if penalty is None else self.added + penalty
        return whole, forward, weights, added, pairs


@contextmanager
def _nothing_moves(plan: StepPlan) -> Iterator[None]:
    """Forward passes in here begin with the seeds of this moment, and leave seeds and statistics where they are."""
    before = [(v, tf.identity(v.value)) for v in plan.whole.non_trainable_variables]
    with keras.StatelessScope(before, initialize_variables=False):
        yield


def _whole(plan: StepPlan, parts: list[Measured]) -> Measured:
    """The losses of a batch from those of its parts."""
    counts = tf.add_n([part.counts for part in parts])
    by_loss = _any([part.by_loss for part in parts])
    present = _any([part.present for part in parts]) & ~by_loss
    losses = tf.math.divide_no_nan(tf.add_n([part.counts * part.losses for part in parts]), counts)
    found = [part.found for part in parts]
    of_whole = TaskLosses(
        tf.add_n([part.sums for part in found]),
        tf.add_n([part.counts for part in found]),
        *(_joined([getattr(part, name) for part in found]) for name in ("labels", "masks", "weights")),
    )
    losses = tf.where(present, losses, 0.0)
    nobody = tf.zeros_like(by_loss)
    shares = tf.zeros_like(losses)
    return Measured(of_whole, shares, losses, counts, present, parts[0].scale, by_loss, nobody, nobody)


def _joined(parts: list[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}


def _any(flags: list[tf.Tensor]) -> tf.Tensor:
    return tf.reduce_any(tf.stack(flags), axis=0)


def _added(before: Any, rows: list[gram.Row]) -> list[gram.Row]:
    if before is None:
        return rows
    return [[plus(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(before, rows, strict=True)]

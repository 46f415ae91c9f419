"""Gradient vaccine: gradients are turned towards the similarity that tasks have had so far."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings import draws
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number, whole
from mtl_keras.weightings.solvers import split_lengths
from mtl_keras.weightings.visits import random_visits, summed

# sin of the angle to the target divides: at a target cosine of 1 the step would be infinite
HIGHEST_TARGET = 0.9999
# a gradient that projections have cancelled to this part of its squared length has no direction left, only rounding
CANCELLED = 1e-14


@register("gradvac")
class GradVac(GradientWeighting):
    """Turn each task's gradient until its cosine with the others is what it has been on average, then sum.

    For each task i, over the others j in random order, with `c = cos(g_i', g_j)` and its running mean `t_ij`: where
    `c < t_ij`, take `g_i' += g_j ||g_i'|| (t sqrt(1 - c^2) - c sqrt(1 - t^2)) / (||g_j|| sqrt(1 - t^2))`, after which
    the cosine is `t_ij`; then `t_ij = (1 - beta) t_ij + beta c`. The direction is `sum_i g_i'`. As in `PCGrad` all of
    it happens in coefficients.

    Args:
        beta: Share of the new cosine in the running mean, 0 to 1, default 0.5 as in LibMTL and TorchJD.
        seed: Of the orders, default 0.

    State: the running means `targets`, float32 [K, K], 0 at first, so that the first step is that of `PCGrad`. They
    move at every visit, not only where the rule acts. Pairs with an absent task or a zero gradient are not visited.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.GradVac().combine([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]).numpy().round(4).tolist()
        [0.5848, 3.8012, 3.8012]

    One group, the whole of the shared parameters (the paper also takes layers or matrices). Targets count as 0.9999 at
    most: at 1, which parallel tasks reach, the rule divides by 0. A gradient that earlier visits cancelled is left
    alone, where LibMTL gives NaN.

    Source: Wang et al., Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively
    Multilingual Models, ICLR 2021.
    """

    paper = "Wang et al., Gradient Vaccine, ICLR 2021"

    def __init__(self, beta: float = 0.5, seed: int = 0, name: str | None = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.beta = number("beta", beta, example=0.5, at_least=0, at_most=1)
        self.seed = whole("seed", seed, example=0)

    def create_state(self, num_tasks: int) -> None:
        self.targets = self.add_state("targets", (num_tasks, num_tasks))
        self.calls = self.add_state("calls", (), 0, dtype="int64")

    def call(self, losses: tf.Tensor, gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        cosines, norms, active = split_lengths(gramian, present)
        visits = random_visits(gramian.shape[0], draws.next_seed(self.calls, self.seed))
        before = tf.cast(tf.convert_to_tensor(self.targets.value), norms.dtype)
        targets = visits.by_step(before)
        aims = tf.clip_by_value(targets, -HIGHEST_TARGET, HIGHEST_TARGET)
        is_there = tf.gather(active, visits.others)
        slopes = tf.where(is_there, aims / tf.sqrt(1.0 - aims**2), 0.0)

        def visit(
            step: tf.Tensor, other: tf.Tensor, products: tf.Tensor, squares: tf.Tensor, parts: tf.Tensor
        ) -> tuple[list, list]:
            along = tf.gather(products, other, batch_dims=1)
            beside = tf.nn.relu(squares - along**2)  # which the visit does not change
            has_direction = squares > CANCELLED * parts
            # the part along the other that gives the cosine t is t / sqrt(1 - t^2) times the part beside it
            turned = tf.where(has_direction, tf.maximum(slopes[step] * tf.sqrt(beside), along), along)
            change = turned - along
            products += change[:, None] * tf.gather(cosines, other)
            cosine = tf.math.divide_no_nan(along, tf.sqrt(squares))
            state = [products, beside + turned**2, parts + change**2]
            return state, [change, cosine, tf.cast(has_direction, norms.dtype)]

        # Of what has become of each gradient: products with all others, its squared length, and what that would be
        # if nothing in it had cancelled; as if all had length 1 at first.
        unit = tf.cast(active, norms.dtype)
        changes, found, has_direction = visits.take(visit, cosines, unit, unit, keeps=3)
        moved = self.beta * (tf.clip_by_value(found, -1.0, 1.0) - targets) * has_direction
        moved = visits.by_pair(tf.where(is_there, moved, 0.0))
        self.targets.assign(tf.cast(before + moved, "float32"))
        return summed(visits.by_pair(changes), norms, present)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}

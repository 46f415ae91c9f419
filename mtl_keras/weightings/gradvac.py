"""Gradient vaccine: gradients are turned towards the similarity that tasks have had so far."""

from typing import Any

import tensorflow as tf

from mtl_keras.weightings import draws
from mtl_keras.weightings.base import GradientWeighting, register
from mtl_keras.weightings.checks import number, whole
from mtl_keras.weightings.pcgrad import visiting_orders

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
        num_tasks = gramian.shape[0]
        squares = tf.linalg.diag_part(gramian)
        orders = visiting_orders(num_tasks, draws.next_seed(self.calls, self.seed))
        before = tf.cast(tf.convert_to_tensor(self.targets.value), gramian.dtype)

        def visit(
            step: tf.Tensor, coefficients: tf.Tensor, products: tf.Tensor, targets: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            other = tf.one_hot(tf.gather(orders, step, axis=1), num_tasks, dtype=gramian.dtype)
            length = tf.sqrt(tf.maximum(tf.reduce_sum(coefficients * products, 1), 0.0))
            parts = tf.linalg.matvec(coefficients**2, squares)
            other_length = tf.sqrt(tf.linalg.matvec(other, squares))
            visited = (length**2 > CANCELLED * parts) & (other_length > 0.0)
            cosine = tf.math.divide_no_nan(tf.reduce_sum(products * other, 1), length * other_length)
            cosine = tf.clip_by_value(cosine, -1.0, 1.0)
            target = tf.reduce_sum(targets * other, 1)
            aim = tf.clip_by_value(target, -HIGHEST_TARGET, HIGHEST_TARGET)
            turn = aim * tf.sqrt((1.0 - cosine**2) / (1.0 - aim**2)) - cosine
            amount = tf.where(visited & (cosine < aim), tf.math.divide_no_nan(turn * length, other_length), 0.0)
            change = amount[:, None] * other
            moved = tf.where(visited, self.beta * (cosine - target), 0.0)[:, None] * other
            return step + 1, coefficients + change, products + tf.matmul(change, gramian), targets + moved

        start = (tf.constant(0), tf.eye(num_tasks, dtype=gramian.dtype), gramian, before)
        _, coefficients, _, targets = tf.while_loop(lambda step, *_: step < num_tasks - 1, visit, start)
        self.targets.assign(tf.cast(targets, "float32"))
        mask = tf.cast(present, gramian.dtype)
        return tf.linalg.matvec(coefficients, mask, transpose_a=True) * mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}

"""Tasks that visit all others, one after the other, each in an order of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from mtl_keras.weightings import draws


@dataclass(frozen=True)
class Visits:
    """K - 1 steps, in each of which every task visits another.

    Attributes:
        others: Whom each task visits, step by step, int32 [K - 1, K].
        steps: In which step a task visits which other, int32 [K, K]; K - 1, which is none, on the diagonal.
    """

    others: tf.Tensor
    steps: tf.Tensor

    @property
    def count(self) -> int:
        """How many steps there are."""
        return int(self.others.shape[0])

    def take(self, visit: Callable[..., tuple], *start: tf.Tensor, keeps: int) -> list[tf.Tensor]:
        """All of them, and what was kept in each, [K - 1, K].

        Args:
            visit: From the number of the step, whom each task visits, and the state, to the following state and what
                is kept of the step, [K] each: two lists.
            *start: State at first.
            keeps: How many tensors are kept.
        """
        size, dtype = self.others.shape[1], start[0].dtype
        if self.count == 0:
            return [tf.zeros([0, size], dtype)] * keeps
        if self.count == 1:  # no need of a loop
            _, kept = visit(0, self.others[0], *start)
            return [tensor[None] for tensor in kept]

        def step(number: tf.Tensor, state: list, arrays: list) -> tuple:
            state, kept = visit(number, self.others[number], *state)
            return number + 1, state, [array.write(number, tensor) for array, tensor in zip(arrays, kept, strict=True)]

        arrays = [tf.TensorArray(dtype, self.count, element_shape=[size]) for _ in range(keeps)]
        *_, arrays = tf.while_loop(lambda number, *_: number < self.count, step, (0, list(start), arrays))
        return [array.stack() for array in arrays]

    def by_step(self, of_pairs: tf.Tensor) -> tf.Tensor:
        """Numbers of pairs [K, K], visitor first, in the order of the visits, [K - 1, K]."""
        return tf.transpose(tf.gather(of_pairs, tf.transpose(self.others), batch_dims=1))

    def by_pair(self, of_visits: tf.Tensor) -> tf.Tensor:
        """Numbers of visits [K - 1, K] by pairs, visitor first, [K, K]; 0 on the diagonal."""
        return tf.gather(tf.transpose(tf.pad(of_visits, [[0, 1], [0, 0]])), self.steps, batch_dims=1)


def random_visits(num_tasks: int, seed: tf.Tensor) -> Visits:
    """Visits in random order.

    Args:
        num_tasks: K.
        seed: Of `draws.next_seed`.
    """
    if num_tasks == 2:  # there is only one order
        return Visits(tf.constant([[1, 0]]), tf.constant([[1, 0], [0, 1]]))
    keys = draws.uniform([num_tasks, num_tasks], seed)
    orders = tf.argsort(keys + 2.0 * tf.eye(num_tasks), axis=1)  # each task itself comes last
    return Visits(tf.transpose(orders[:, : num_tasks - 1]), tf.argsort(orders, axis=1))


def summed(additions: tf.Tensor, norms: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Weights [K] of the gradients in the sum over all tasks of each one's gradient and what was added to it.

    Args:
        additions: How much of which other, as if all gradients had length 1, [K, K], visitor first.
        norms: Lengths of the gradients [K], 0 where left out.
        present: Which tasks take part, bool [K].
    """
    added = tf.math.divide_no_nan(tf.linalg.matvec(additions, norms, transpose_a=True), norms)
    return tf.where(present, 1.0 + added, 0.0)

"""Inner products of task gradients, and weighted sums of them, variable by variable."""

from dataclasses import dataclass

import tensorflow as tf

# From so many numbers on, 4 MB, gradients of a variable are multiplied pair by pair and summed in place: one matrix of
# them all is faster, but a copy of them all.
LARGE = 2**20
_PART = 2**10

# up to so many rows are summed one by one, as stacking them would cost more; multiplied too if they are so long
_FEW, _LONG = 4, 2**12

# one entry per variable or feature tensor; None where a task does not depend on it
Row = list[tf.Tensor | None]


@dataclass(frozen=True)
class Block:
    """The gradients that several tasks have for one variable or feature tensor.

    Attributes:
        tasks: Indices of the tasks that depend on it, rising.
        rows: Their gradients, flat, float32 [size] each.
        shape: Shape of the variable or feature tensor.
        dtype: Its dtype.
    """

    tasks: list[int]
    rows: list[tf.Tensor]
    shape: tf.Tensor
    dtype: tf.DType

    @property
    def size(self) -> int:
        """How many numbers a row has; 0 where that is not known."""
        return self.rows[0].shape[0] or 0

    @property
    def is_large(self) -> bool:
        return self.size >= LARGE

    def products(self) -> tf.Tensor:
        """Inner products of the rows, float64 [len(tasks), len(tasks)]."""
        if not self.is_large and (len(self.rows) > _FEW or self.size < _LONG):
            matrix = tf.stack(self.rows)
            return tf.cast(tf.matmul(matrix, matrix, transpose_b=True), tf.float64)
        dot = _dot if self.is_large else _short_dot
        lower = [[dot(a, b) for b in self.rows[: i + 1]] for i, a in enumerate(self.rows)]
        places = range(len(self.rows))
        return tf.cast(tf.stack([tf.stack([lower[max(i, j)][min(i, j)] for j in places]) for i in places]), tf.float64)

    def sum(self, weights: tf.Tensor) -> tf.Tensor:
        """The weighted sum of the rows in the piece's own shape and dtype; weights float32 [len(tasks)].

        A weight of 0 hides what is not finite.
        """
        if self.is_large or len(self.rows) <= _FEW:
            weight_of = tf.unstack(weights, num=len(self.rows))
            summed = tf.math.multiply_no_nan(self.rows[0], weight_of[0])
            for row, weight in zip(self.rows[1:], weight_of[1:], strict=True):
                summed += tf.math.multiply_no_nan(row, weight)
        else:
            summed = tf.reduce_sum(tf.math.multiply_no_nan(tf.stack(self.rows), weights[:, None]), axis=0)
        return tf.cast(tf.reshape(summed, self.shape), self.dtype)


def _short_dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The inner product of two rows, float32."""
    return 2.0 * tf.nn.l2_loss(a) if a is b else tf.reduce_sum(a * b)


def _dot(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The inner product of two long rows, without a copy of either, float64.

    In float32 products of parts only, which are then added: over millions of numbers a float32 sum loses its digits.
    """
    whole = a.shape[0] // _PART * _PART
    parts = tf.matmul(tf.reshape(a[:whole], [-1, 1, _PART]), tf.reshape(b[:whole], [-1, _PART, 1]))
    rest = tf.reduce_sum(tf.cast(a[whole:] * b[whole:], tf.float64))
    return tf.reduce_sum(tf.cast(parts, tf.float64)) + rest


def blocks(rows: list[Row]) -> list[Block | None]:
    """The rows of K tasks, turned into one block for each piece; None where no task depends on it."""
    return [_block(pieces) for pieces in zip(*rows, strict=True)]


def _block(pieces: tuple[tf.Tensor | None, ...]) -> Block | None:
    having = [(k, piece) for k, piece in enumerate(pieces) if piece is not None]
    if not having:
        return None
    first = having[0][1]
    rows = [tf.reshape(tf.cast(piece, tf.float32), [-1]) for _, piece in having]
    shape = first.shape if first.shape.is_fully_defined() else tf.shape(first)
    return Block([k for k, _ in having], rows, shape, first.dtype)


def gramian(parts: list[Block | None], num_tasks: int) -> tf.Tensor:
    """Inner products of K gradients given piece by piece, float64 [K, K].

    Products are taken in float32 piece by piece, so no K×P matrix is ever made, and added in float64, so that a task
    with small gradients keeps its digits.
    """
    whole, total = [], tf.zeros([num_tasks, num_tasks], tf.float64)
    for part in parts:
        if part is None:
            continue
        products = part.products()
        if len(part.tasks) == num_tasks:
            whole.append(products)
        else:
            where = [[i, j] for i in part.tasks for j in part.tasks]
            total += tf.scatter_nd(where, tf.reshape(products, [-1]), [num_tasks, num_tasks])
    return total + tf.reduce_sum(tf.stack(whole), axis=0) if whole else total


def cross_gramian(first: list[Row], second: list[Row]) -> tf.Tensor:
    """Inner products between the gradients of two batches, float64 [K, K], not symmetric."""
    num_tasks = len(first)
    return gramian(blocks([*first, *second]), 2 * num_tasks)[:num_tasks, num_tasks:]


def weighted_sum(weights: tf.Tensor, parts: list[Block | None]) -> Row:
    """`sum_k weights[k] * gradients[k]`, piece by piece, in each piece's own shape and dtype; see `Block.sum`."""
    return [None if part is None else _weighted(weights, part) for part in parts]


def _weighted(weights: tf.Tensor, part: Block) -> tf.Tensor:
    own = weights if len(part.tasks) == weights.shape[0] else tf.gather(weights, part.tasks)
    return part.sum(tf.cast(own, tf.float32))


def flatten(rows: list[Row], like: list[tf.Tensor]) -> tf.Tensor:
    """The Jacobian as one matrix, float32 [K, P]; zeros where a task does not depend on a piece."""

    def flat(piece: tf.Tensor | None, shape: tf.Tensor) -> tf.Tensor:
        piece = tf.zeros_like(shape) if piece is None else piece
        return tf.reshape(tf.cast(piece, tf.float32), [-1])

    return tf.stack([tf.concat([flat(p, s) for p, s in zip(row, like, strict=True)], axis=0) for row in rows])


def unflatten(direction: tf.Tensor, like: list[tf.Tensor]) -> Row:
    """A direction [P] cut into pieces of the shapes of `like`."""
    sizes = [int(tensor.shape.num_elements()) for tensor in like]
    return [tf.reshape(part, t.shape) for part, t in zip(tf.split(direction, sizes), like, strict=True)]

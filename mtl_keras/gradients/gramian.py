"""Inner products of task gradients, and weighted sums of them, variable by variable."""

from dataclasses import dataclass

import tensorflow as tf

# one entry per variable or feature tensor; None where a task does not depend on it
Row = list[tf.Tensor | None]


@dataclass(frozen=True)
class Block:
    """The gradients that several tasks have for one variable or feature tensor.

    Attributes:
        tasks: Indices of the tasks that depend on it, rising.
        matrix: Their gradients, one flat row each, float32 [len(tasks), size].
        shape: Shape of the variable or feature tensor.
        dtype: Its dtype.
    """

    tasks: list[int]
    matrix: tf.Tensor
    shape: tf.Tensor
    dtype: tf.DType


def blocks(rows: list[Row]) -> list[Block | None]:
    """The rows of K tasks, turned into one block for each piece; None where no task depends on it."""
    return [_block(pieces) for pieces in zip(*rows, strict=True)]


def _block(pieces: tuple[tf.Tensor | None, ...]) -> Block | None:
    having = [(k, piece) for k, piece in enumerate(pieces) if piece is not None]
    if not having:
        return None
    first = having[0][1]
    matrix = tf.stack([tf.reshape(tf.cast(piece, tf.float32), [-1]) for _, piece in having])
    shape = first.shape if first.shape.is_fully_defined() else tf.shape(first)
    return Block([k for k, _ in having], matrix, shape, first.dtype)


def gramian(parts: list[Block | None], num_tasks: int) -> tf.Tensor:
    """Inner products of K gradients given piece by piece, float64 [K, K].

    Products are taken in float32 piece by piece, so no K×P matrix is ever made, and added in float64, so that a task
    with small gradients keeps its digits.
    """
    whole, total = [], tf.zeros([num_tasks, num_tasks], tf.float64)
    for part in parts:
        if part is None:
            continue
        products = tf.matmul(part.matrix, part.matrix, transpose_b=True)
        if len(part.tasks) == num_tasks:
            whole.append(products)
        else:
            where = [[i, j] for i in part.tasks for j in part.tasks]
            products = tf.reshape(tf.cast(products, tf.float64), [-1])
            total += tf.scatter_nd(where, products, [num_tasks, num_tasks])
    return total + tf.reduce_sum(tf.cast(tf.stack(whole), tf.float64), axis=0) if whole else total


def cross_gramian(first: list[Row], second: list[Row]) -> tf.Tensor:
    """Inner products between the gradients of two batches, float64 [K, K], not symmetric."""
    num_tasks = len(first)
    return gramian(blocks([*first, *second]), 2 * num_tasks)[:num_tasks, num_tasks:]


def weighted_sum(weights: tf.Tensor, parts: list[Block | None]) -> Row:
    """`sum_k weights[k] * gradients[k]`, piece by piece, in each piece's own shape and dtype."""
    return [None if part is None else _weighted(weights, part) for part in parts]


def _weighted(weights: tf.Tensor, part: Block) -> tf.Tensor:
    num_tasks = weights.shape[0]
    own = weights if len(part.tasks) == num_tasks else tf.gather(weights, part.tasks)
    summed = tf.linalg.matvec(part.matrix, tf.cast(own, tf.float32), transpose_a=True)
    return tf.cast(tf.reshape(summed, part.shape), part.dtype)


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

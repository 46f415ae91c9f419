"""Inner products of task gradients, and weighted sums of them."""

import tensorflow as tf

# one entry per variable or feature tensor; None where a task does not depend on it
Row = list[tf.Tensor | None]


def gramian(rows: list[Row]) -> tf.Tensor:
    """Inner products of K gradients given piece by piece, float64 [K, K].

    Products are taken in float32 piece by piece, so no K×P matrix is ever made, and added in float64, so that a task
    with small gradients keeps its digits.
    """
    num_tasks = len(rows)
    total = tf.zeros([num_tasks, num_tasks], tf.float64)
    for pieces in zip(*rows, strict=True):
        having = [k for k, piece in enumerate(pieces) if piece is not None]
        if not having:
            continue
        matrix = tf.stack([tf.reshape(tf.cast(pieces[k], tf.float32), [-1]) for k in having])
        products = tf.cast(tf.matmul(matrix, matrix, transpose_b=True), tf.float64)
        if len(having) == num_tasks:
            total += products
        else:
            where = [[i, j] for i in having for j in having]
            total += tf.scatter_nd(where, tf.reshape(products, [-1]), [num_tasks, num_tasks])
    return total


def cross_gramian(first: list[Row], second: list[Row]) -> tf.Tensor:
    """Inner products between the gradients of two batches, float64 [K, K], not symmetric."""
    return gramian([*first, *second])[: len(first), len(first) :]


def weighted_sum(weights: tf.Tensor, rows: list[Row]) -> Row:
    """`sum_k weights[k] * rows[k]`, piece by piece, in each piece's own dtype."""
    summed: Row = []
    for pieces in zip(*rows, strict=True):
        terms = [tf.cast(weights[k], piece.dtype) * piece for k, piece in enumerate(pieces) if piece is not None]
        summed.append(tf.add_n(terms) if terms else None)
    return summed


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

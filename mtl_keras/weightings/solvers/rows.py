"""A Gramian as K rows of unit length and their norms: what every solver starts from."""

from dataclasses import dataclass

import tensorflow as tf

# a row of unit length counts as a combination of others once this much of its squared length is left beside them
DEPENDENT = 1e-12
# eigenvalues from here on are far above what rounding makes of 0, in products of float32 too
REGULAR = 1e-3


@dataclass(frozen=True)
class Rows:
    """K task gradients in K coordinates of their own, all float64.

    Attributes:
        units: Rows of unit length [K, K] whose inner products are the cosines of the gradients; 0 where left out.
        norms: Lengths of the gradients [K]; 0 where left out.
        active: The rows that take part, bool [K]: present, not zero and finite.
        rank: How many of them are linearly independent, int32.
    """

    units: tf.Tensor
    norms: tf.Tensor
    active: tf.Tensor
    rank: tf.Tensor

    @property
    def vectors(self) -> tf.Tensor:
        """The gradients themselves [K, K], with the Gramian that was given."""
        return self.units * self.norms[:, None]

    @property
    def cosines(self) -> tf.Tensor:
        """Cosines between the gradients [K, K], positive semidefinite to the last digits."""
        return tf.matmul(self.units, self.units, transpose_b=True)

    def for_gradients(self, weights: tf.Tensor) -> tf.Tensor:
        """Weights [K] of the gradients from weights of the unit rows; 0 where left out."""
        return tf.math.divide_no_nan(weights, self.norms)


def rows_of(gramian: tf.Tensor, present: tf.Tensor) -> Rows:
    """Split a Gramian into lengths and unit rows.

    Scaling comes first, so that a task with tiny gradients is as visible as any other. Then a Cholesky factorisation,
    whose factor has exactly the cosines of the Gramian, and none of the negative eigenvalues that rounding can give
    them. Where rows may depend on each other, it takes the row with the largest rest at each step and stops where all
    others are combinations of those taken.

    Args:
        gramian: Inner products of gradients [K, K], symmetric up to rounding.
        present: Which rows to take, bool [K].
    """
    cosines, norms, active = split_lengths(gramian, present)
    units, rank = _factor(cosines)
    return Rows(units, norms, active, rank)


def split_lengths(gramian: tf.Tensor, present: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cosines between gradients [K, K], their lengths [K], float64, and which take part, bool [K]; 0 where left out.

    Args:
        gramian: Inner products of gradients [K, K].
        present: Which rows to take, bool [K].
    """
    gramian = tf.cast(gramian, tf.float64)
    active = active_rows(gramian, present)
    norms = tf.sqrt(tf.where(active, tf.linalg.diag_part(gramian), 0.0))
    inverse = tf.math.divide_no_nan(tf.ones_like(norms), norms)
    # one after the other: the product of two such factors can be infinite
    cosines = tf.math.multiply_no_nan(tf.math.multiply_no_nan(gramian, inverse[:, None]), inverse[None, :])
    return cosines, norms, active


def active_rows(gramian: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The rows that take part, bool [K]: present, not zero and finite."""
    squares = tf.linalg.diag_part(gramian)
    return present & (squares > 0.0) & tf.math.is_finite(squares)


def _factor(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """L [K, K] with `L L' = matrix` up to `DEPENDENT`, and its number of columns that are not 0; they come first."""
    size = matrix.shape[0]
    if size == 2:
        return _factor_of_two(matrix)
    diagonal = tf.linalg.diag_part(matrix)
    taken = tf.where(diagonal > 0.0, tf.ones_like(diagonal), 0.0)
    whole = tf.linalg.set_diag(matrix, diagonal + (1.0 - taken))

    def at_once() -> tuple[tf.Tensor, tf.Tensor]:
        columns = tf.gather(tf.linalg.cholesky(whole) * taken[:, None], tf.argsort(-taken), axis=1)
        return columns, tf.cast(tf.reduce_sum(taken), tf.int32)

    return tf.cond(is_regular(whole), at_once, lambda: _factor_by_search(matrix))


def is_regular(cosines: tf.Tensor) -> tf.Tensor:
    """Whether all eigenvalues of a matrix [K, K] are surely above `REGULAR`, bool; its diagonal is 1."""
    size = cosines.shape[0]
    identity = tf.eye(size, dtype=cosines.dtype)
    inverse_factor = tf.linalg.triangular_solve(tf.linalg.cholesky(cosines + REGULAR * identity), identity)
    # the sum of all eigenvalues of the inverse of what is REGULAR larger: where one of these is 2 REGULAR or less, the
    # others, which add up to less than the trace, have inverses of at least so much
    others = (size - 1) ** 2 / (size * (1.0 + REGULAR))
    return tf.reduce_sum(inverse_factor**2) < 0.5 / REGULAR + others


def _factor_by_search(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for a matrix of any rank, column by column."""
    size = matrix.shape[0]

    def going(step: tf.Tensor, rest: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        return (step < size) & (tf.reduce_max(tf.linalg.diag_part(rest)) > DEPENDENT)

    def take(step: tf.Tensor, rest: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pivot = tf.argmax(tf.linalg.diag_part(rest))
        column = rest[:, pivot]
        column /= tf.sqrt(column[pivot])
        place = tf.one_hot(step, size, dtype=matrix.dtype)
        return step + 1, rest - column[:, None] * column[None, :], columns + column[:, None] * place[None, :]

    start = (tf.constant(0), matrix, tf.zeros_like(matrix))
    rank, _, columns = tf.while_loop(going, take, start)
    return columns, rank


def _factor_of_two(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The same without a loop; the diagonal is 1, or 0 for a row that is left out."""
    diagonal, across = tf.linalg.diag_part(matrix), matrix[0, 1]
    first = tf.stack([diagonal[0], tf.where(diagonal[0] > 0.0, across, diagonal[1])])
    rest = diagonal[1] - first[1] ** 2
    second = tf.where(rest > DEPENDENT, tf.sqrt(tf.maximum(rest, 0.0)), 0.0)
    rank = tf.reduce_sum(tf.cast([tf.reduce_any(first > 0.0), second > 0.0], tf.int32))
    return tf.stack([first, tf.stack([tf.zeros_like(second), second])], 1), rank

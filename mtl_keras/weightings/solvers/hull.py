"""Points of the convex hull of the rows."""

import tensorflow as tf

from mtl_keras.weightings.solvers.orthant import RIDGE, nonnegative_minimum
from mtl_keras.weightings.solvers.rows import DEPENDENT

# what a vector of length 0 counts as: the hull then has its shortest point there
NO_LENGTH = 1e-150
# how many times further than a row is long the search for the best worst case goes: more is stationary to rounding
FARTHEST = 1e6
# a difference that is this part of what it was taken from is rounding
STEADY = 1e-12
BALL_STEPS, ON_THE_BALL = 40, 1e-10


def least_norm(vectors: tf.Tensor, active: tf.Tensor, start: tf.Tensor | None = None) -> tf.Tensor:
    """Weights of the shortest vector in the convex hull of the rows.

    `argmin |V' w|^2` over `w >= 0` with sum 1, without its constraint on the sum: the v that minimises
    `|V' v|^2 + (t sum v - t)^2` over `v >= 0` is that w times a number above 0, whatever t. This holds for 0 in the
    hull too. With t the length of the shortest row, and rows scaled to unit length, all is of order 1.

    Args:
        vectors: float64 [K, D].
        active: The rows that take part, bool [K].
        start: Weights [K] whose support is tried first.

    Returns:
        float64 [K], at least 0 with sum 1; 0 where not active, and all 0 where nothing is. Equal rows get equal
        weights.
    """
    lengths = tf.maximum(tf.norm(vectors, axis=1), NO_LENGTH)
    shortest = tf.reduce_min(tf.where(active, lengths, float("inf")))
    pull = tf.where(active, shortest / lengths, 0.0)
    units = tf.where(active[:, None], vectors / lengths[:, None], 0.0)
    matrix = tf.matmul(units, units, transpose_b=True) + pull[:, None] * pull[None, :]
    if start is not None:
        start = tf.where(active, start * lengths / shortest, 0.0)[None]
    scaled = nonnegative_minimum(matrix, pull[None], start)[0] * pull
    return tf.math.divide_no_nan(scaled, tf.reduce_sum(scaled))


def worst_case_in_ball(vectors: tf.Tensor, active: tf.Tensor, centre: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """The v >= 0 with `d = centre + V' v` the point of a ball whose least product with the rows is greatest.

    At the optimum v is `reach` times the weights w of the shortest vector in the hull of the rows that are moved by
    `centre / reach`, and the ball ends there: `reach |V' w| = radius`. As long as the same rows have weight,
    `|V' w|^2` is `a + b / reach^2`, which gives the reach by Newton's method, kept between bounds.

    Args:
        vectors: float64 [K, D].
        active: The rows that take part, bool [K].
        centre: float64 [D].
        radius: At least 0.

    Returns:
        float64 [K]; 0 where not active. Where no point of the ball has a product above 0 with all rows, the direction
        nearest to the centre that harms none, if the ball has one.
    """
    lengths = tf.norm(vectors, axis=1)
    products = tf.linalg.matvec(vectors, centre)
    low = radius / tf.reduce_max(tf.where(active, lengths, 0.0))
    high = farthest = FARTHEST * radius / tf.reduce_min(tf.where(active, lengths, float("inf")))

    def going_on(count: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (count < BALL_STEPS) & state[-1]

    def step(
        count: tf.Tensor, low: tf.Tensor, high: tf.Tensor, reach: tf.Tensor, used: tf.Tensor, w: tf.Tensor, _: tf.Tensor
    ) -> tuple:
        moved = vectors + centre / reach
        w = least_norm(moved, active, start=w)
        length = tf.norm(tf.linalg.matvec(vectors, w, transpose_a=True))
        short = reach * length < radius
        low, high = tf.where(short, reach, low), tf.where(short, high, reach)
        falling = _square_that_falls(vectors, moved, products, w)
        steady = length**2 - falling / reach**2
        steady = tf.where(steady > STEADY * length**2, steady, 0.0)
        target = tf.sqrt(tf.maximum(radius**2 - falling, 0.0) / tf.maximum(steady, NO_LENGTH))
        between = tf.where((target >= high) & (high >= farthest), high, tf.sqrt(low * high))
        following = tf.where((target > low) & (target < high), target, between)
        found = (tf.abs(reach * length - radius) <= ON_THE_BALL * radius) | (high <= low * (1.0 + ON_THE_BALL))
        return count + 1, low, high, following, reach, w, ~found

    first = tf.clip_by_value(radius / tf.maximum(tf.norm(centre), NO_LENGTH), low, high)
    start = (tf.constant(0), low, high, first, first, tf.zeros_like(lengths), tf.reduce_any(active) & (radius > 0.0))
    _, _, _, _, reach, w, _ = tf.while_loop(going_on, step, start)
    return tf.where(active, reach * w, 0.0)


def worst_case_of_two(gramian: tf.Tensor, c: float) -> tf.Tensor:
    """`worst_case_in_ball` for two rows, from their products alone: around their mean, with c times its length.

    With e from one row to the other, the hull's point `t |e|` from the foot of 0 on the line through both, at its
    distance h from 0, is best where `mean . e + radius t |e|^2 / sqrt((t |e|)^2 + h^2)` is 0; beyond a row, that row.

    Args:
        gramian: float64 [2, 2], of rows that are not zero.
        c: Above 0.

    Returns:
        float64 [2].
    """
    a, p, _, b = tf.unstack(tf.reshape(gramian / tf.linalg.trace(gramian), [4]))
    # parallel rows count as such with the least angle that `rows_of` tells from none
    largest = tf.sqrt(a * b) * (1.0 - 0.5 * DEPENDENT)
    are_opposite = p < -largest
    p = tf.clip_by_value(p, -largest, largest)
    first, second, difference, area = b - p, a - p, b - a, a * b - p**2  # times |e|: the rows' distances from the foot
    room = 4.0 * c**2 * area - (1.0 - c**2) * difference**2
    inside = room > 0.0
    if c > 1.0:  # nothing helps both of two opposite rows: come to where neither is harmed
        inside &= ~are_opposite
    beside = tf.where(inside, tf.sqrt(area / room), tf.constant(float("inf"), a.dtype))
    beside = tf.clip_by_value(tf.math.multiply_no_nan(beside, difference), -first, second)
    square = first + second
    reach = tf.sqrt(0.25 * c**2 * (a + b + 2.0 * p) / (square * (area + beside**2)))
    if c > 1.0:
        reach = tf.where(are_opposite, reach / c, reach)
    return reach * tf.stack([first + beside, second - beside])


def _square_that_falls(vectors: tf.Tensor, moved: tf.Tensor, products: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """b of `|V' w|^2 = a + b / reach^2`: the squared speed of `V' w` as `1 / reach` grows, on the support of w."""
    on = tf.cast(w > 0.0, w.dtype)
    lengths = tf.maximum(tf.norm(moved, axis=1), NO_LENGTH)
    units = moved / lengths[:, None] * on[:, None]
    system = tf.matmul(units, units, transpose_b=True)
    system = tf.linalg.set_diag(system, tf.linalg.diag_part(system) + (1.0 - on) + RIDGE)
    sides = tf.stack([on / lengths, on * products / lengths], 1)
    ones, pulled = tf.unstack(tf.linalg.cholesky_solve(tf.linalg.cholesky(system), sides) / lengths[:, None], axis=1)
    speed = ones * tf.math.divide_no_nan(tf.reduce_sum(pulled), tf.reduce_sum(ones)) - pulled
    return tf.reduce_sum(tf.linalg.matvec(vectors, speed, transpose_a=True) ** 2)

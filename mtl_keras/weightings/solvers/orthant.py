"""Convex quadratic functions over the points whose coordinates are at least 0."""

import tensorflow as tf

# on the diagonal of Newton's systems: it keeps singular ones solvable and does not move the solution, for what it
# leaves over is taken by the next step
RIDGE = 1e-12
# slopes that count as 0, as a part of the largest number in the problem
SETTLED = 2e-14
MOST_STEPS = 150
# a difference between rows of the matrix that is rounding
EQUAL = 1e-12


def nonnegative_minimum(matrix: tf.Tensor, linear: tf.Tensor, start: tf.Tensor | None = None) -> tf.Tensor:
    """For each row b of `linear` the z that minimises `z' M z / 2 - b' z` over `z >= 0`.

    An active set method. A coordinate is free if it is above 0, or at 0 with a slope that pulls it up. Each step heads
    for the minimum over the free coordinates and stops where the function is lowest on the way, at the end or at one of
    the points where a coordinate comes to 0 and stays there. Coordinates that a step left at 0 are held until the
    minimum over the others is reached. Many coordinates are freed and fixed at once, so that a few steps are enough;
    the function never rises, and falls before coordinates are freed again, so that the method cannot run in circles.

    Args:
        matrix: M, float64 [K, K], positive semidefinite with a diagonal near 1; every b has to be in its range.
            A coordinate whose row is 0 stays at 0.
        linear: float64 [N, K].
        start: Points to start from [N, K], at least 0; default 0.

    Returns:
        float64 [N, K]. Where M is singular the solution may not be unique, but `M z` is; coordinates with equal rows
        of M and equal b come out equal.

    Source: Lawson, Hanson, Solving Least Squares Problems, 1974; the path along the bounds as in Bertsekas, Projected
    Newton Methods for Optimization Problems with Simple Constraints, SIAM Journal on Control and Optimization 1982.
    """

    if matrix.shape[0] == 2:
        return _shared_among_equals(matrix, linear, _minimum_of_two(matrix, linear))

    def free_and_slopes(points: tf.Tensor, held: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        slopes = tf.matmul(points, matrix) - linear
        settled = SETTLED * tf.reduce_max(tf.maximum(tf.abs(linear), points), -1, keepdims=True)
        free = (points > 0.0) | (slopes < -settled)
        unsettled = tf.reduce_any(free & (tf.abs(slopes) > settled))
        return free & ~held, slopes, unsettled

    def step(count: tf.Tensor, points: tf.Tensor, held: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
        free, slopes, _ = state
        goal = _newton(matrix, free, slopes)
        move, lower = _best_on_the_way(matrix, points, goal, slopes)
        points += move
        stopped = (goal < 0.0) & (points <= 0.0)
        at_minimum = ~tf.reduce_any(stopped, -1, keepdims=True)
        changed = tf.reduce_any(lower) | tf.reduce_any(stopped)
        held = (held | stopped) & ~at_minimum
        free, slopes, unsettled = free_and_slopes(points, held)
        return count + 1, points, held, free, slopes, unsettled & changed

    def going_on(count: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (count < MOST_STEPS) & state[-1]

    points = tf.zeros_like(linear) if start is None else start
    held = tf.zeros_like(points, tf.bool)
    points = tf.while_loop(going_on, step, (tf.constant(0), points, held, *free_and_slopes(points, held)))[1]
    return _shared_among_equals(matrix, linear, points)


def _minimum_of_two(matrix: tf.Tensor, linear: tf.Tensor) -> tf.Tensor:
    """The minimum over two coordinates, without a search: where both are above 0, or else on one of the axes."""
    of_first, of_second, across = matrix[0, 0], matrix[1, 1], matrix[0, 1]
    first, second = linear[:, 0], linear[:, 1]
    # by elimination: what rounding does to the second coordinate, the first makes up for
    ratio = tf.math.divide_no_nan(across, of_first)
    above = tf.math.divide_no_nan(second - ratio * first, of_second - ratio * across)
    beside = tf.math.divide_no_nan(first - across * above, of_first)
    alone = tf.math.divide_no_nan(tf.maximum(linear, 0.0), tf.linalg.diag_part(matrix))
    falls = alone * linear
    axis = tf.stack([falls[:, 0] >= falls[:, 1], falls[:, 0] < falls[:, 1]], 1)
    inside = (beside > 0.0) & (above > 0.0)
    return tf.where(inside[:, None], tf.stack([beside, above], 1), tf.where(axis, alone, 0.0))


def _shared_among_equals(matrix: tf.Tensor, linear: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """The same sums [N, K], but in equal parts among coordinates with equal rows of the matrix and equal b.

    Newton's systems tell such coordinates apart by rounding alone, enlarged by what the ridge is small.
    """

    def shared() -> tf.Tensor:
        rows = tf.reduce_max(tf.abs(matrix[:, None, :] - matrix[None, :, :]), -1) <= EQUAL
        allowed = EQUAL * tf.reduce_max(tf.abs(linear), -1)[:, None, None]
        sides = tf.abs(linear[:, :, None] - linear[:, None, :]) <= allowed
        equals = tf.cast(rows & sides, points.dtype)
        return tf.linalg.matvec(equals, points) / tf.reduce_sum(equals, -1)

    # equal rows have equal diagonals, too: to look at these first costs a fraction of comparing all rows
    diagonal = tf.linalg.diag_part(matrix)
    apart = tf.abs(matrix - diagonal[:, None]) > EQUAL
    others = tf.linalg.set_diag(apart, tf.ones_like(diagonal, tf.bool))
    return tf.cond(tf.reduce_all(others), lambda: points, shared)


def _newton(matrix: tf.Tensor, free: tf.Tensor, slopes: tf.Tensor) -> tf.Tensor:
    """The way to the minimum over the free coordinates [N, K], 0 in the others."""
    mask = tf.cast(free, matrix.dtype)
    system = matrix * mask[:, :, None] * mask[:, None, :]
    system = tf.linalg.set_diag(system, tf.linalg.diag_part(system) + (1.0 - mask) + RIDGE)
    return -tf.linalg.cholesky_solve(tf.linalg.cholesky(system), (slopes * mask)[:, :, None])[:, :, 0]


def _best_on_the_way(
    matrix: tf.Tensor, points: tf.Tensor, goal: tf.Tensor, slopes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The lowest move [N, K] along `max(points + s goal, 0)`, s of 1 or where a coordinate comes to 0; 0 if none falls.

    Also whether it falls, bool [N].
    """
    whole = points + goal

    def at_the_end() -> tuple[tf.Tensor, tf.Tensor]:
        move = whole - points
        lower = tf.reduce_sum(move * (slopes + 0.5 * tf.matmul(move, matrix)), -1) < 0.0
        return tf.where(lower[:, None], move, 0.0), lower

    # nothing comes to 0 on the way, as in most steps: s is 1
    return tf.cond(tf.reduce_all(whole >= 0.0), at_the_end, lambda: _best_of_all(matrix, points, goal, slopes))


def _best_of_all(
    matrix: tf.Tensor, points: tf.Tensor, goal: tf.Tensor, slopes: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, by comparing all of these points."""
    size = matrix.shape[0]
    sinking = goal < 0.0
    at_zero = tf.where(sinking, -tf.math.divide_no_nan(points, goal), float("inf"))
    parts = tf.concat([tf.minimum(at_zero, 1.0), tf.ones_like(points[:, :1])], 1)[:, :, None]
    # compared and not computed: what comes to 0 is exactly 0
    trials = tf.where(parts < at_zero[:, None, :], points[:, None, :] + parts * goal[:, None, :], 0.0)
    moves = trials - points[:, None, :]
    products = tf.reshape(tf.matmul(tf.reshape(moves, [-1, size]), matrix), tf.shape(moves))
    changes = tf.reduce_sum(moves * (slopes[:, None, :] + 0.5 * products), -1)
    best = tf.one_hot(tf.argmin(changes, -1), size + 1, dtype=matrix.dtype)
    lower = tf.reduce_min(changes, -1) < 0.0
    return tf.where(lower[:, None], tf.reduce_sum(moves * best[:, :, None], 1), 0.0), lower

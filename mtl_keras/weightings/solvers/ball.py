"""The direction in a ball around the mean of the rows whose worst product with them is greatest."""

import tensorflow as tf

from mtl_keras.weightings.solvers.hull import NO_LENGTH, least_norm
from mtl_keras.weightings.solvers.orthant import RIDGE
from mtl_keras.weightings.solvers.rows import DEPENDENT, active_rows, is_regular, rows_of, split_lengths

# how many times further than a row is long the search goes: more is stationary to rounding
FARTHEST = 1e6
# a difference that is this part of what it was taken from is rounding
STEADY = 1e-12
SEARCH_STEPS, ON_THE_BALL = 40, 1e-10
# guesses of the worst rows that are tried before the search; by which part of itself a row's product may miss the least
GUESSES, EXACT = 12, 1e-9


def worst_case_in_ball(gramian: tf.Tensor, present: tf.Tensor, mean: tf.Tensor, c: float) -> tf.Tensor:
    """The v >= 0 with `d = g0 + V' v`, V the rows, that maximises the least product of d with a row in a ball.

    The ball has the centre `g0 = V' mean` and c times its length as its radius.

    Args:
        gramian: Products of the rows, float64 [K, K].
        present: Which rows to take, bool [K].
        mean: Weights of the centre, float64 [K]; where K is 2 and both rows take part, 1/2 each.
        c: Above 0.

    Returns:
        float64 [K]; 0 for rows that are absent, zero or not finite. Where no point of the ball has a product above 0
        with all rows, the direction nearest to the centre that harms none, if the ball has one.
    """
    if gramian.shape[0] == 2:
        active = active_rows(gramian, present)
        alone = c * mean * tf.cast(active, mean.dtype)
        return tf.where(tf.reduce_all(active), _of_two(gramian, c), alone)
    cosines, norms, active = split_lengths(gramian, present)
    products = tf.where(active[:, None] & active[None, :], gramian, 0.0)
    norms = tf.where(active, norms, 1.0)
    cosines = tf.linalg.set_diag(cosines, tf.ones_like(norms))

    def guessed() -> tuple[tf.Tensor, tf.Tensor]:
        return _by_guessing(products, cosines, norms, active, mean, c)

    def not_guessed() -> tuple[tf.Tensor, tf.Tensor]:
        return tf.zeros_like(norms), tf.constant(False)

    found, is_found = tf.cond(is_regular(cosines) & tf.reduce_any(active), guessed, not_guessed)
    return tf.cond(is_found, lambda: found, lambda: _by_search(gramian, present, mean, c))


def _of_two(gramian: tf.Tensor, c: float) -> tf.Tensor:
    """The same for two rows that are not zero.

    With e from one row to the other, the hull's point `t |e|` from the foot of 0 on the line through both, at its
    distance h from 0, is best where `mean . e + radius t |e|^2 / sqrt((t |e|)^2 + h^2)` is 0; beyond a row, that row.
    """
    a, p, _, b = tf.unstack(tf.reshape(gramian / tf.reduce_max(tf.linalg.diag_part(gramian)), [4]))
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


def _by_guessing(
    products: tf.Tensor, cosines: tf.Tensor, norms: tf.Tensor, active: tf.Tensor, mean: tf.Tensor, c: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for rows that are linearly independent, and whether it was found.

    If the worst rows are those of a set S, they have one product t with d, and `v = t p - q` with
    `p = G_SS^-1 1` and `q = G_SS^-1 (G mean)_S`; that d ends on the ball is a quadratic equation for t. The next S has
    the rows with v above 0, and others whose product is below t: a primal-dual active set method, that is, Newton's
    method for the conditions of the optimum. A set that comes out as it went in meets all of them.

    Source: Hintermüller, Ito, Kunisch, The Primal-Dual Active Set Strategy as a Semismooth Newton Method, SIAM Journal
    on Optimization 2003.
    """
    towards = tf.linalg.matvec(products, mean)
    square = c**2 * tf.tensordot(mean, towards, 1)
    sides = tf.stack([1.0 / norms, towards / norms], 1)
    ones = tf.eye(norms.shape[0], dtype=norms.dtype)

    def step(count: tf.Tensor, worst: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
        system = tf.where(worst[:, None] & worst[None, :], cosines, ones)
        of_worst = tf.where(worst[:, None], sides, 0.0)
        solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(system), of_worst) / norms[:, None]
        p, q = tf.unstack(solved, axis=1)
        total, pull = tf.reduce_sum(p), tf.reduce_sum(q)
        room = pull**2 - total * (tf.tensordot(q, towards, 1) - square)
        least = (pull + tf.sqrt(tf.maximum(room, 0.0))) / total
        v = least * p - q
        gains = towards + tf.linalg.matvec(products, v)
        allowed = EXACT * tf.abs(gains)
        following = tf.where(worst, v > 0.0, active & (gains < least - allowed))
        settled = tf.reduce_all(following == worst)
        # what rounding leaves of the conditions where rows are of very different lengths
        holds = tf.reduce_all((tf.abs(gains - least) <= allowed) | ~worst) & (room > 0.0)
        return count + 1, following, v, settled, holds

    def going_on(count: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (count < GUESSES) & ~state[2]

    state = (tf.constant(0), active, tf.zeros_like(norms), tf.constant(False), tf.constant(False))
    _, _, v, settled, holds = tf.while_loop(going_on, step, state)
    return v, settled & holds


def _by_search(gramian: tf.Tensor, present: tf.Tensor, mean: tf.Tensor, c: float) -> tf.Tensor:
    """The same for any rows.

    At the optimum v is `reach` times the weights w of the shortest vector in the hull of the rows that are moved by
    `centre / reach`, and the ball ends there: `reach |V' w| = radius`. As long as the same rows have weight,
    `|V' w|^2` is `a + b / reach^2`, which gives the reach by Newton's method, kept between bounds.
    """
    rows = rows_of(gramian, present)
    vectors, active = rows.vectors, rows.active
    centre = tf.linalg.matvec(vectors, mean, transpose_a=True)
    radius = c * tf.norm(centre)
    lengths = tf.norm(vectors, axis=1)
    products = tf.linalg.matvec(vectors, centre)
    low = radius / tf.reduce_max(tf.where(active, lengths, 0.0))
    high = farthest = FARTHEST * radius / tf.reduce_min(tf.where(active, lengths, float("inf")))

    def going_on(count: tf.Tensor, *state: tf.Tensor) -> tf.Tensor:
        return (count < SEARCH_STEPS) & state[-1]

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

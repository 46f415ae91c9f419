"""Positive weights under which every task gets a share of the step that is fair to what it costs."""

import tensorflow as tf

from mtl_keras.weightings.solvers.rows import Rows

# on the diagonal of Newton's systems only: it does not move the solution
RIDGE = 1e-13
# as tasks come to oppose each other weights grow without bound. Where they pass what a Gramian of float32 products
# can tell, this much is added to the diagonal and holds them: a step of rounding errors would be left over otherwise
STRAINED, STRAINED_RIDGE = 1e8, 1e-8
# Newton's steps square their errors: a change of this size leaves none that float64 could show
MOST_STEPS, SETTLED = 100, 3e-7
# at small powers a task that gains twice what another does gets `2^(-1 / power)` of its weight: this is 0
NOTHING = 1e-100


def fair_weights(rows: Rows, power: float) -> tf.Tensor:
    """The a > 0 with `(G a)_i = a_i^-power`.

    It minimises the convex function `a' G a / 2 - sum_i u(a_i)`, with `u' = a^-power`. In multiples x of what
    each task would get alone, `a_i = x_i n_i^(-2 / (1 + power))`, the equations are `M x = diag(M) x^-power` with
    `M_ij = cos_ij b_i b_j`, `b_i = n_i^((power - 1) / (power + 1))`. Newton's method on the logarithms' scale; with
    m the largest relative change of a coordinate, the step is cut to the part `(1 - (1 + power m)^(-1/power)) / m`, up
    to which the function falls for certain.

    Args:
        rows: The gradients.
        power: Above 0.

    Returns:
        float64 [K], above 0; 0 where left out. A solution exists unless a combination with weights of at least 0 (not
        all 0) of the gradients is 0. Where it does not, or an `x_i^(1 + power)` would pass 1e8, it is that of
        `cos + 1e-8 I` in the place of the cosines: large weights that move no task at the cost of another.
    """
    left_out = tf.cast(~rows.active, rows.norms.dtype)
    logs = tf.math.log(rows.norms + left_out) * (power - 1.0) / (power + 1.0)
    alone = tf.exp(logs - tf.reduce_max(tf.where(rows.active, logs, float("-inf")))) * (1.0 - left_out) + left_out
    alone = tf.where(tf.reduce_any(rows.active), alone, tf.ones_like(alone))
    cosines = tf.linalg.set_diag(rows.cosines, tf.linalg.diag_part(rows.cosines) + left_out)
    plain = cosines * alone[:, None] * alone[None, :]
    squares = alone**2

    def step(count: tf.Tensor, x: tf.Tensor, ridge: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, ...]:
        matrix = plain * x[:, None] * x[None, :]
        matrix = tf.linalg.set_diag(matrix, squares * x**2 * (tf.linalg.diag_part(cosines) + ridge))
        wanted = squares * x ** (1.0 - power)
        slope = tf.reduce_sum(matrix, 1) - wanted
        # symmetric scaling: the Cholesky factorisation then sees numbers of order 1
        curved = tf.linalg.set_diag(matrix, tf.linalg.diag_part(matrix) * (1.0 + RIDGE) + power * wanted)
        scale = tf.math.rsqrt(tf.linalg.diag_part(curved))
        root = tf.linalg.cholesky(curved * scale[:, None] * scale[None, :])
        change = -scale * tf.linalg.cholesky_solve(root, (scale * slope)[:, None])[:, 0]
        change = tf.where((x <= NOTHING) & (change < 0.0), tf.zeros_like(change), change)
        largest = tf.reduce_max(tf.abs(change))
        # 1 - part, which can be far below the resolution of 1
        kept = tf.exp(-tf.math.log1p(power * largest) / power)
        share = tf.math.divide_no_nan(change, largest)
        x = tf.maximum(x * ((1.0 + share) - share * kept), NOTHING)
        strained = tf.reduce_max(x ** (1.0 + power)) > STRAINED
        return count + 1, x, tf.where(strained, tf.constant(STRAINED_RIDGE, x.dtype), ridge), largest > SETTLED

    # the best multiple of what the tasks would get alone
    total = tf.maximum(tf.reduce_sum(plain), tf.reduce_sum(squares) / STRAINED**0.5)
    first = (tf.reduce_sum(squares) / total) ** (1.0 / (1.0 + power)) * tf.ones_like(alone)
    start = (tf.constant(0), first, tf.zeros([], first.dtype), tf.constant(True))
    x = tf.while_loop(lambda count, x, ridge, going: (count < MOST_STEPS) & going, step, start)[1]
    size = tf.exp(-2.0 / (1.0 + power) * tf.math.log(rows.norms + left_out))
    return tf.where(rows.active, x * size, 0.0)

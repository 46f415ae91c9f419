"""A problem of two losses over two parameters, with a bend on the way to its front, and the ways of methods over it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.weightings import Weighting

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
# at this height, from x = -7 to 7, no point beats another in both losses
FRONT = -8.355
# Adam as its paper has it
FIRST_DECAY, SECOND_DECAY, DIVISOR_FLOOR = 0.9, 0.999, 1e-8


def losses(points: tf.Tensor, scale: float) -> tf.Tensor:
    """Both losses [N, 2] of points [N, 2]; the first one times `scale`.

    Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021, with scale 1; Navon et
    al., Multi-Task Learning as a Bargaining Game, ICML 2022, with scale 0.1.
    """
    x, y = points[:, 0], points[:, 1]
    above, below = tf.maximum(tf.tanh(0.5 * y), 0.0), tf.maximum(tf.tanh(-0.5 * y), 0.0)
    first = tf.math.log(tf.maximum(tf.abs(0.5 * (-x - 7.0) - tf.tanh(-y)), 5e-6)) + 6.0
    second = tf.math.log(tf.maximum(tf.abs(0.5 * (-x + 3.0) + tf.tanh(-y) + 2.0), 5e-6)) + 6.0
    first_bowl = ((x - 7.0) ** 2 + 0.1 * (y + 8.0) ** 2) / 10.0 - 20.0
    second_bowl = ((x + 7.0) ** 2 + 0.1 * (y + 8.0) ** 2) / 10.0 - 20.0
    return tf.stack([scale * (first * above + first_bowl * below), second * above + second_bowl * below], 1)


def reached(points: np.ndarray) -> np.ndarray:
    """Which points [..., 2] lie on the front, to about a quarter of a unit."""
    return (np.abs(points[..., 1] - FRONT) < 0.25) & (np.abs(points[..., 0]) < 7.3)


def ways(
    method: Weighting,
    steps: int,
    *,
    every: int = 100,
    scale: float = 0.1,
    learning_rate: float = 1e-3,
    starts: Sequence[tuple[float, float]] = STARTS,
) -> np.ndarray:
    """Where Adam comes from N starts with the directions of a method: points [1 + steps / every, N, 2].

    All starts go at once, each with a copy of the method's state, in one `tf.while_loop` that XLA compiles.
    """
    method.bind(2)
    present = tf.ones(2, tf.bool)

    def direction(given: tuple) -> tuple:
        here, jacobian, state = given
        if method.reads == "losses":
            weights, state = _with_state(method, state, lambda: method.call(tf.cast(here, tf.float32), present))
        else:
            gramian = tf.matmul(jacobian, jacobian, transpose_b=True)
            weights, state = _with_state(method, state, lambda: method.call(here, gramian, present))
        return tf.linalg.matvec(jacobian, tf.cast(weights, tf.float64), transpose_a=True), state

    def second_look(given: tuple) -> list[tf.Tensor]:
        before, after, state = given
        before, after = tf.cast(before, tf.float32), tf.cast(after, tf.float32)
        return _with_state(method, state, lambda: method.after_step(before, after, present))[1]

    def step(number: tf.Tensor, points: tf.Tensor, mean: tf.Tensor, square: tf.Tensor, states: list) -> tuple:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(points)
            here = losses(points, scale)
            columns = tf.unstack(here, axis=1)
        jacobians = tf.stack([tape.gradient(column, points) for column in columns], 1)
        slopes, states = tf.map_fn(direction, (here, jacobians, states), fn_output_signature=(tf.float64, kinds))
        mean = FIRST_DECAY * mean + (1.0 - FIRST_DECAY) * slopes
        square = SECOND_DECAY * square + (1.0 - SECOND_DECAY) * slopes**2
        power = tf.cast(number, tf.float64) + 1.0
        deviation = tf.sqrt(square / (1.0 - SECOND_DECAY**power)) + DIVISOR_FLOOR
        points -= learning_rate * mean / (1.0 - FIRST_DECAY**power) / deviation
        if method.second_forward:
            states = tf.map_fn(second_look, (here, losses(points, scale), states), fn_output_signature=kinds)
        return number + 1, points, mean, square, states

    @tf.function(jit_compile=True, autograph=False)
    def walk(*state: Any) -> tuple:
        until = state[0] + every
        return tf.while_loop(lambda number, *_: number < until, step, state)

    points = tf.constant(starts, tf.float64)
    states = [tf.repeat(tf.convert_to_tensor(v.value)[None], len(starts), 0) for v in method.variables]
    kinds = [state.dtype for state in states]
    state = (tf.constant(0), points, tf.zeros_like(points), tf.zeros_like(points), states)
    found = [points.numpy()]
    for _ in range(steps // every):
        state = walk(*state)
        found.append(state[1].numpy())
    return np.array(found)


def _with_state(method: Weighting, state: list[tf.Tensor], call: Callable[[], Any]) -> tuple[Any, list[tf.Tensor]]:
    """What `call` gives with these values of the method's variables, and the values it leaves; none of them moves."""
    pairs = list(zip(method.variables, state, strict=True))
    with keras.StatelessScope(pairs, initialize_variables=False) as scope:
        result = call()
    return result, [scope.get_current_value(variable) for variable in method.variables]

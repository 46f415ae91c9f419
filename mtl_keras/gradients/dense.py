"""Inner products of task gradients of a dense layer, from what goes into it and what comes back to it.

The gradient of the kernel is `X' D`, with the inputs X [B, I] and the gradient D [B, O] of `X W + b`. It has as many
numbers as the kernel, but its columns lie in the span of B examples: with `X' = Q R` it is `Q (R D)`, and the products
of `R D`, [B, O], are the same. With many tasks and fewer examples than inputs that is a small part of the work.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# activations that take each number for itself, and their slopes from what they give
SLOPES: dict[Callable, Callable[[tf.Tensor], tf.Tensor]] = {
    keras.activations.elu: lambda y: tf.minimum(y, 0.0) + 1.0,
    keras.activations.leaky_relu: lambda y: tf.where(y > 0.0, tf.ones_like(y), 0.2),
    keras.activations.linear: tf.ones_like,
    keras.activations.relu: lambda y: tf.cast(y > 0.0, y.dtype),
    keras.activations.sigmoid: lambda y: y * (1.0 - y),
    keras.activations.tanh: lambda y: 1.0 - y**2,
}

# so many numbers of a gradient are multiplied in float32 before they are added in float64, if its rows are shorter
_PART = 2**10

# How much longer a multiplication counts in the float64 factorization than in a float32 product. It is less with more
# examples; to factorize too seldom only leaves things as they would be without.
_SLOWER = 30.0


def slope_of(activation: Any) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The slope in `SLOPES` of an activation, any object; None if it is not there."""
    return next((slope for known, slope in SLOPES.items() if known is activation), None)


def gramian(layer: keras.layers.Dense, inputs: tf.Tensor, outputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Inner products of K gradients of the variables of a dense layer, float64 [K, K].

    A row that is not finite makes its own products not finite, also where the activation would hide it.

    Args:
        layer: The layer, called once, with an activation in `SLOPES`; it computes in float32, and all its variables
            train.
        inputs: What it was called on, float32 [B, I].
        outputs: What it gave, float32 [B, O].
        rows: Gradients there, float32 [B, K, O].
    """
    slope = slope_of(layer.activation)
    assert slope is not None, "asked for before"
    tasks, (size_in, size_out) = rows.shape[1], layer.kernel.shape
    rows = tf.reshape(rows * slope(outputs)[:, None], [-1, tasks * size_out])
    if layer.bias is not None:  # as one more input
        inputs, size_in = tf.concat([inputs, tf.ones_like(inputs[:, :1])], 1), size_in + 1
    is_shorter = is_worth_it(tf.cast(tf.shape(inputs)[0], tf.float32), size_in, size_out, tasks)

    def by_examples() -> tf.Tensor:
        return _products(tf.reshape(tf.matmul(_factor(inputs), rows), [-1, tasks, size_out]))

    def by_gradients() -> tf.Tensor:
        together = max(1, _PART // size_out)
        left = tf.pad(inputs, [[0, 0], [0, -size_in % together]])
        gradients = tf.reshape(tf.matmul(left, rows, transpose_a=True), [-1, together, tasks, size_out])
        return _products(tf.reshape(tf.transpose(gradients, [0, 2, 1, 3]), [-1, tasks, together * size_out]))

    return tf.cond(is_shorter, by_examples, by_gradients)


def _products(parts: tf.Tensor) -> tf.Tensor:
    """Of gradients in parts [n, K, m], added up in float64: a float32 sum of long gradients would lose its digits."""
    return tf.reduce_sum(tf.cast(tf.matmul(parts, parts, transpose_b=True), tf.float64), 0)


def is_worth_it(batch: tf.Tensor | float, size_in: int, size_out: int, tasks: int) -> tf.Tensor | bool:
    """Whether to factorize the inputs of so many examples is less work than the longer gradients."""
    return _SLOWER * batch**2 * size_in < (size_in - batch) * tasks * size_out * (batch + tasks)


def _factor(inputs: tf.Tensor) -> tf.Tensor:
    """R, float32 [B, B]; from float64, so that examples keep their digits where their gradients cancel."""
    return tf.cast(tf.linalg.qr(tf.transpose(tf.cast(inputs, tf.float64))).r, tf.float32)

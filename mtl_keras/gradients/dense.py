"""Inner products of task gradients of a dense layer, from what goes into it and what comes back to it.

The gradient of the kernel is `X' D`, with the inputs X [B, I] and the gradient D [B, O] of `X W + b`. It has as many
numbers as the kernel, but its columns lie in the span of B examples: with `X' = Q R` it is `Q (R D)`, and the products
of `R D`, [B, O], are the same. With many tasks and fewer examples than inputs that is a small part of the work.
"""

from collections.abc import Callable

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

# How much longer a multiplication takes in the float64 factorization than in a float32 product, on CPUs: from timings
# by hand, 8 with 128 examples to 36 with 16.
_SLOWER = 30.0


def gramian(layer: keras.layers.Dense, inputs: tf.Tensor, outputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Inner products of K gradients of the variables of a dense layer, float64 [K, K].

    A row that is not finite makes its own products not finite, also where the activation would hide it.

    Args:
        layer: The layer, called once, with one of the activations in `SLOPES`; it computes in float32, and all its
            variables train.
        inputs: What it was called on, float32 [B, I].
        outputs: What it gave, float32 [B, O].
        rows: Gradients there, float32 [B, K, O].
    """
    tasks, size_out = rows.shape[1:]
    rows = tf.reshape(rows * SLOPES[layer.activation](outputs)[:, None], [-1, tasks * size_out])
    if layer.bias is not None:  # as one more input
        inputs = tf.concat([inputs, tf.ones_like(inputs[:, :1])], 1)
    is_shorter = is_worth_it(tf.cast(tf.shape(inputs)[0], tf.float32), layer.kernel.shape[0], size_out, tasks)
    left = tf.cond(is_shorter, lambda: _factor(inputs), lambda: tf.transpose(inputs))
    gradients = tf.reshape(tf.matmul(left, rows), [-1, tasks, size_out])
    # of long gradients a float32 sum would lose its digits
    return tf.reduce_sum(tf.cast(tf.matmul(gradients, gradients, transpose_b=True), tf.float64), 0)


def is_worth_it(batch: tf.Tensor | float, size_in: int, size_out: int, tasks: int) -> tf.Tensor | bool:
    """Whether to factorize the inputs of so many examples is less work than the longer gradients."""
    return _SLOWER * batch**2 * size_in < (size_in - batch) * tasks * size_out * (batch + tasks)


def _factor(inputs: tf.Tensor) -> tf.Tensor:
    """R, float32 [B, B]; from float64, so that examples keep their digits where their gradients cancel."""
    return tf.cast(tf.linalg.qr(tf.transpose(tf.cast(inputs, tf.float64))).r, tf.float32)

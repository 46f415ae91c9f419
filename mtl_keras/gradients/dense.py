"""Inner products of task gradients of a dense layer, from what goes into it and what comes back to it.

The gradient of the kernel is `X' D`, with the inputs X [B, I] and the gradient D [B, O] of `X W + b`. It has as many
numbers as the kernel, but its columns lie in the span of B examples: with `X' = Q R` it is `Q (R D)`, and the products
of `R D`, [B, O], are the same. With many tasks and fewer examples than inputs that is a small part of the work.
"""

from typing import Any

import keras
import tensorflow as tf

# activations that take each number for itself
ACTIVATIONS = (
    keras.activations.elu,
    keras.activations.gelu,
    keras.activations.leaky_relu,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.selu,
    keras.activations.sigmoid,
    keras.activations.silu,
    keras.activations.softplus,
    keras.activations.tanh,
)

# how much longer a multiplication takes in the float64 factorization than in a float32 product
_SLOWER = 30.0


def gramian(layer: keras.layers.Dense, inputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Inner products of K gradients of the variables of a dense layer, float64 [K, K].

    A row that is not finite makes its own products not finite, also where the activation would hide it.

    Args:
        layer: The layer, called once, with one of `ACTIVATIONS`; it computes in float32, and all its variables train.
        inputs: What it was called on, float32 [B, I].
        rows: Gradients at its outputs, float32 [K, B, O].
    """
    before = tf.matmul(inputs, layer.kernel.value)
    if layer.bias is not None:
        before += layer.bias.value
    with tf.GradientTape() as tape:
        tape.watch(before)
        after = layer.activation(before)
    rows *= tape.gradient(after, before)[None]
    if layer.bias is not None:
        # its gradient is that of one more input
        inputs = tf.concat([inputs, tf.ones_like(inputs[:, :1])], 1)
    tasks, size_in, size_out = rows.shape[0], layer.kernel.shape[0], layer.units
    batch = tf.cast(tf.shape(inputs)[0], tf.float32)
    examples = batch**2 * (_SLOWER * size_in + tasks * size_out) + batch * tasks**2 * size_out
    gradients = tasks * size_in * size_out * (batch + tasks)
    return tf.cond(examples < gradients, lambda: _by_examples(inputs, rows), lambda: _by_gradients(inputs, rows))


def _by_examples(inputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    # in float64, so that examples keep their digits where their gradients cancel
    factor = tf.linalg.qr(tf.transpose(tf.cast(inputs, tf.float64))).r
    return _products(tf.matmul(tf.cast(factor, tf.float32)[None], rows))


def _by_gradients(inputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return _products(tf.matmul(inputs[None], rows, transpose_a=True))


def _products(rows: Any) -> tf.Tensor:
    flat = tf.reshape(rows, [rows.shape[0], -1])
    return tf.cast(tf.matmul(flat, flat, transpose_b=True), tf.float64)

"""Inner products of task gradients of a dense layer, from what goes into it and what comes back to it.

The gradient of the kernel is `X' D`, with the inputs X [B, I] and the gradient D [B, O] of `X W + b`. It has as many
numbers as the kernel, but its columns lie in the span of B examples: with `R' R = X X'` the products of `R D`, [B, O],
are the same. With many tasks and fewer examples than inputs that is a small part of the work.
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

# on the diagonal of `X X'`, as a part of its trace: examples may depend on each other
_RIDGE, _LEAST = 1e-12, 1e-30


def gramian(layer: keras.layers.Dense, inputs: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Inner products of K gradients of the variables of a dense layer, float64 [K, K].

    Args:
        layer: The layer, called once, with one of `ACTIVATIONS`; it computes in float32, and all its variables train.
        inputs: What it was called on, [B, I].
        rows: Gradients at its outputs, [K, B, O].
    """
    before = tf.matmul(inputs, layer.kernel.value)
    if layer.bias is not None:
        before += layer.bias.value
    with tf.GradientTape() as tape:
        tape.watch(before)
        after = layer.activation(before)
    rows = tf.math.multiply_no_nan(rows, tape.gradient(after, before)[None])
    tasks, has_bias = rows.shape[0], layer.bias is not None
    batch = tf.cast(tf.shape(inputs)[0], tf.float64)
    size_in, size_out = inputs.shape[1], rows.shape[2]
    # multiplications, those in float64 taken twice
    examples = batch**2 * (2.0 * size_in + tasks * size_out) + batch**3 + batch * tasks**2 * size_out
    gradients = tasks * size_in * size_out * (batch + tasks)
    return tf.cond(
        examples < gradients,
        lambda: _by_examples(inputs, rows, has_bias),
        lambda: _by_gradients(inputs, rows, has_bias),
    )


def _by_examples(inputs: tf.Tensor, rows: tf.Tensor, has_bias: bool) -> tf.Tensor:
    inputs = tf.cast(inputs, tf.float64)
    products = tf.matmul(inputs, inputs, transpose_b=True) + float(has_bias)
    # a factorization of what is not finite would be an error
    is_finite = tf.reduce_all(tf.math.is_finite(products))
    products = tf.where(is_finite, products, 0.0)
    diagonal = tf.linalg.diag_part(products)
    products = tf.linalg.set_diag(products, diagonal + _RIDGE * tf.reduce_sum(diagonal) + _LEAST)
    factor = tf.cast(tf.linalg.cholesky(products), rows.dtype)
    turned = tf.reshape(tf.matmul(factor[None], rows, transpose_a=True), [rows.shape[0], -1])
    return tf.where(is_finite, _products(turned), float("nan"))


def _by_gradients(inputs: tf.Tensor, rows: tf.Tensor, has_bias: bool) -> tf.Tensor:
    tasks, size_in, size_out = rows.shape[0], inputs.shape[1], rows.shape[2]
    in_a_row = tf.reshape(tf.transpose(rows, [1, 0, 2]), [-1, tasks * size_out])
    of_kernel = tf.reshape(tf.matmul(inputs, in_a_row, transpose_a=True), [size_in, tasks, size_out])
    found = tf.reduce_sum(_products(of_kernel), 0)
    return found + _products(tf.reduce_sum(rows, 1)) if has_bias else found


def _products(rows: Any) -> tf.Tensor:
    return tf.cast(tf.matmul(rows, rows, transpose_b=True), tf.float64)

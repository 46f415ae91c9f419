"""Random numbers of the methods that draw: from a seed and a counter held in state.

The counter makes runs resume where they stopped, and gives every replica the same numbers. The numbers are made from
Philox's integers, which are the same on every device, compiled or not; TensorFlow's own uniform floats are not, for XLA
turns the integers into floats in another way.
"""

import keras
import tensorflow as tf


def next_seed(counter: keras.Variable, seed: int) -> tf.Tensor:
    """The seed of this call, int64 [2], from the method's seed and its int64 counter, which moves on by one."""
    calls = tf.convert_to_tensor(counter.value)
    counter.assign(calls + 1)
    return tf.stack([tf.constant(seed, tf.int64), calls])


def uniform(shape: tf.Tensor | list[int], seed: tf.Tensor) -> tf.Tensor:
    """Float32 numbers in [0, 1), never 1."""
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
    # integers just below 2^31 round up to it
    return tf.minimum(tf.cast(bits, tf.float32) * 2.0**-32 + 0.5, 1.0 - 2.0**-24)


def normal(shape: tf.Tensor | list[int], seed: tf.Tensor) -> tf.Tensor:
    """Float64 numbers of mean 0 and deviation 1, by the inverse of the normal distribution; finite."""
    return tf.math.ndtri(tf.cast(uniform(shape, seed), tf.float64) + 2.0**-25)

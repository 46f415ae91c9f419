"""Random numbers that follow from an example's seed alone."""

import tensorflow as tf


def uniforms(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Uniform numbers from [0, 1) for every example.

    Args:
        seeds: Int64 [B, 2].
        count: How many numbers each example gets.

    Returns:
        Float32 [B, count]; a row depends on its own seed only.

    Example:
        >>> import tensorflow as tf
        >>> both = uniforms(tf.constant([[7, 0], [7, 1]], tf.int64), 3)
        >>> bool(tf.reduce_all(uniforms(tf.constant([[7, 1]], tf.int64), 3)[0] == both[1]))
        True
    """
    return tf.map_fn(lambda seed: tf.random.stateless_uniform([count], seed), seeds, fn_output_signature=tf.float32)


def branch(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Seeds for another purpose, int64 [B, 2]; `number` from 1 to 2047 tells purposes apart."""
    # what a source makes of seed and epoch stays below 2^51
    return tf.add(seeds, [[number << 52, 0]])


def normals(seeds: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Normal numbers (mean 0, standard deviation 1) for every example: float32 [B, *shape]."""
    return tf.map_fn(lambda seed: tf.random.stateless_normal(shape, seed), seeds, fn_output_signature=tf.float32)

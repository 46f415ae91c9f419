"""What is added to the weighted task losses: regularization and `add_loss` terms."""

import keras
import tensorflow as tf


def added_losses(model: keras.Model) -> tf.Tensor:
    """The sum of these terms, never weighted; 0 where there are none."""
    terms = [tf.cast(tf.reduce_sum(loss), tf.float32) for loss in model.losses]
    return tf.add_n(terms) if terms else tf.zeros([])

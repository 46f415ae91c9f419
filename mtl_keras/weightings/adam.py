"""Adam on a vector of the method's own, with one clock a task."""

import tensorflow as tf

from mtl_keras.weightings.base import Weighting

# as its paper has them
FIRST_DECAY, SECOND_DECAY, DIVISOR_FLOOR = 0.9, 0.999, 1e-8


class Adam:
    """Adam for a state [K] of a weighting that is moved by its own rule and not by the model's optimizer.

    Args:
        owner: The weighting; it gets the states `first_moment`, `second_moment` and `steps`, float32 [K], all 0.
        num_tasks: K.
        learning_rate: Of every step.

    Absent tasks do not move: neither their entry nor its moments nor its count of steps.

    Source: Kingma, Ba, Adam: A Method for Stochastic Optimization, ICLR 2015.
    """

    def __init__(self, owner: Weighting, num_tasks: int, learning_rate: float):
        self.learning_rate = learning_rate
        self.first_moment = owner.add_state("first_moment", (num_tasks,))
        self.second_moment = owner.add_state("second_moment", (num_tasks,))
        self.steps = owner.add_state("steps", (num_tasks,))

    def step(self, values: tf.Tensor, slope: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """`values` [K] after a step against `slope` [K], both float32."""
        steps = tf.convert_to_tensor(self.steps.value) + tf.cast(present, tf.float32)
        first = tf.convert_to_tensor(self.first_moment.value)
        second = tf.convert_to_tensor(self.second_moment.value)
        first = tf.where(present, FIRST_DECAY * first + (1.0 - FIRST_DECAY) * slope, first)
        second = tf.where(present, SECOND_DECAY * second + (1.0 - SECOND_DECAY) * slope**2, second)
        self.steps.assign(steps)
        self.first_moment.assign(first)
        self.second_moment.assign(second)
        mean = tf.math.divide_no_nan(first, 1.0 - FIRST_DECAY**steps)
        deviation = tf.sqrt(tf.math.divide_no_nan(second, 1.0 - SECOND_DECAY**steps))
        return tf.where(present, values - self.learning_rate * mean / (deviation + DIVISOR_FLOOR), values)

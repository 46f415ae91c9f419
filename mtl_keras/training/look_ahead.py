"""What one step on a batch would do to other examples, for methods that learn their weights from that."""

import keras
import tensorflow as tf

from mtl_keras.gradients import replicas
from mtl_keras.training.second_look import SecondLook
from mtl_keras.training.slots import parts_of
from mtl_keras.training.step_plan import StepPlan

# length of the step to either side over which the slope of the training losses is taken
PROBE_LENGTH = 0.01

Values = list[tuple[keras.Variable, tf.Tensor]]


class LookAhead:
    """Trial steps from where the model stands; nothing moves.

    Args:
        model, plan: The model and its plan.
        batch: `(x, y, sample_weight)` of the training batch.
        other: The same of the batch of other examples.
    """

    def __init__(self, model: keras.Model, plan: StepPlan, batch: tuple, other: tuple):
        self._optimizer = model.optimizer
        self._scale = model.optimizer.scale_loss(tf.ones([]))
        self._variables = model.trainable_variables
        self._train, self._other = SecondLook(plan, *batch), SecondLook(plan, *other)
        # of this pass only the labels are read; a graph drops the rest
        self.present = self._train.measure().present

    def gains(self, weights: tf.Tensor, counted: tf.Tensor, step_size: float | None = None) -> tf.Tensor:
        """By how much a unit of weight for each task lowers the loss on the other examples, to first order, [K].

        Args:
            weights: Task weights [K] of the trial step.
            counted: How much each task's loss on the other examples counts, [K].
            step_size: Of the trial step, default the optimizer's learning rate at the time.
        """
        here = [tf.identity(v.value) for v in self._variables]
        rate = self._learning_rate() if step_size is None else tf.constant(step_size)
        step = self._gradient(self._train, weights, here)
        there = [value - rate * g for value, g in zip(here, step, strict=True)]
        direction = self._gradient(self._other, counted, there)
        probe = tf.math.divide_no_nan(PROBE_LENGTH, tf.linalg.global_norm(direction))
        ahead, behind = (
            self._train.measure(self._with([v + sign * probe * d for v, d in zip(here, direction, strict=True)])).losses
            for sign in (1.0, -1.0)
        )
        return rate * tf.math.divide_no_nan(ahead - behind, 2.0 * probe)

    def _learning_rate(self) -> tf.Tensor:
        """That of the optimizer; of several parts that of the first, which trains what tasks share."""
        first = next(iter(parts_of(self._optimizer).values()))
        return tf.cast(tf.convert_to_tensor(first.learning_rate), tf.float32)

    def _gradient(self, look: SecondLook, weights: tf.Tensor, values: list[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(values)
            total = self._scale * tf.reduce_sum(weights * look.measure(self._with(values)).shares)
        found = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return replicas.total([tf.convert_to_tensor(g) / self._scale for g in found])

    def _with(self, values: list[tf.Tensor]) -> Values:
        return list(zip(self._variables, values, strict=True))

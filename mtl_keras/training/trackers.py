"""Exact epoch means of losses and weights, in one variable that all tasks share.

Stock Keras keeps one metric with two variables per output; for many tasks their upkeep costs more than the step.
"""

import keras
import tensorflow as tf

from mtl_keras.registry import PACKAGE

_PER_TASK = 6  # loss sum, label count, weighted loss sum, weight times count, steps sat out by loss and by gradient


@keras.saving.register_keras_serializable(package=PACKAGE)
class LossTracker(keras.metrics.Metric):
    """Total loss, loss of each task and weight applied to each task, as means over an epoch.

    A task's loss is the sum over all labels seen divided by their number, so partial batches and missing labels leave
    it exact. The total is the sum of the weighted task losses plus the mean of what is added beside them
    (regularization, penalties).
    """

    def __init__(self, task_names: list[str], name: str = "losses"):
        super().__init__(name=name, dtype="float32")
        self.task_names = list(task_names)
        self.state = self.add_variable(
            (_PER_TASK * len(self.task_names) + 3,), "zeros", name="state", aggregation="sum"
        )

    def update_state(
        self,
        sums: tf.Tensor,
        counts: tf.Tensor,
        weights: tf.Tensor,
        added: tf.Tensor,
        examples: tf.Tensor,
        sat_out: tf.Tensor,
    ) -> None:
        """Take in one batch.

        Args:
            sums, counts, weights: Per task [K].
            added: What was added to the loss.
            examples: The number of examples.
            sat_out: 1 for the tasks that sat out the step, because of their losses and because of their gradients
                [2, K]; on one of several replicas its share of that.
        """
        examples = tf.cast(examples, tf.float32)
        one_batch = tf.concat(
            [
                *(sums, counts, weights * sums, weights * counts, tf.reshape(sat_out, [-1])),
                tf.stack([added * examples, examples, 1.0]),
            ],
            axis=0,
        )
        self.state.assign_add(one_batch)

    def result(self) -> dict[str, tf.Tensor]:
        """`{"loss", "<task>_loss", "<task>_weight"}`; 0 where no label was seen."""
        state = tf.convert_to_tensor(self.state)
        sums, counts, weighted, weights, *_ = tf.unstack(tf.reshape(state[:-3], [_PER_TASK, -1]))
        added, examples = state[-3], state[-2]
        losses = tf.unstack(tf.math.divide_no_nan(sums, counts))
        applied = tf.unstack(tf.math.divide_no_nan(weights, counts))
        total = tf.reduce_sum(tf.math.divide_no_nan(weighted, counts)) + tf.math.divide_no_nan(added, examples)
        logs = {"loss": total}
        logs |= {f"{task}_loss": loss for task, loss in zip(self.task_names, losses, strict=True)}
        return logs | {f"{task}_weight": weight for task, weight in zip(self.task_names, applied, strict=True)}

    def batches(self) -> int:
        """How many batches (of one replica each) were taken in since the last reset."""
        return int(keras.ops.convert_to_numpy(self.state)[-1])

    def labels_seen(self) -> dict[str, float]:
        """How many labels (or how much label weight) each task was measured on since the last reset."""
        num_tasks = len(self.task_names)
        counts = keras.ops.convert_to_numpy(self.state)[num_tasks : 2 * num_tasks]
        return {task: float(count) for task, count in zip(self.task_names, counts, strict=True)}

    def unlabelled(self) -> list[str]:
        """Tasks that had no label since the last reset."""
        lost = self.lost()
        return [task for task, count in self.labels_seen().items() if count == 0 and task not in lost]

    def lost(self) -> list[str]:
        """Tasks that sat out every step since the last reset in which they had labels, if there was one."""
        sat_out = self.sat_out()
        return [task for task, count in self.labels_seen().items() if count == 0 and any(sat_out[task])]

    def sat_out(self) -> dict[str, tuple[int, int]]:
        """In how many steps since the last reset each task's loss, and its gradient alone, was not finite."""
        steps = keras.ops.convert_to_numpy(self.state)[:-3].reshape(_PER_TASK, -1)[-2:]
        return {
            task: (round(loss), round(gradient)) for task, loss, gradient in zip(self.task_names, *steps, strict=True)
        }

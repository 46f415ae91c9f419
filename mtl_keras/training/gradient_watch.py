"""What was measured of the tasks' gradients: sizes, angles, conflicts; and when it is measured."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.registry import PACKAGE

# with more tasks the cosines of pairs are left to the picture: 20 tasks would be 190 columns in a log
MOST_TASKS_IN_PAIRS = 10
_LEAST_EIGENVALUE = 1e-16  # relative to the largest: what float64 can tell from 0

CONFLICTS, CONDITION = "conflict_rate", "gramian_condition"


@dataclass
class GradientWatch:
    """Whether and how gradients are measured.

    Attributes:
        tracker: What was measured, over an epoch and the last time.
        scope: Where gradients are taken, one of `weightings.SCOPES`; None while nothing is to be measured.
        due: Whether the next execution of the training function measures.
        measuring: Whether the step that is being traced or run eagerly does.
    """

    tracker: "GradientTracker"
    scope: str | None = None
    due: bool = False
    measuring: bool = False
    _functions: dict[str | None, Any] = field(default_factory=dict)

    def change_scope(self, scope: str | None, function: Any) -> Any:
        """The training function that was used with `scope` before, if any; `function` is that of the scope so far."""
        self._functions[self.scope], self.scope, self.due = function, scope, False
        return self._functions.get(scope)

    def forget_functions(self) -> None:
        """Have the functions of other scopes traced anew when they are next used."""
        self._functions.clear()

    def choosing(self, plain: Any, measuring: Any) -> Any:
        """A training function that calls `measuring`, traced apart, where a measurement is due, and else `plain`."""

        def run(iterator: Any) -> Any:
            self.measuring = self.due
            try:
                return (measuring if self.due else plain)(iterator)
            finally:
                self.measuring = False

        return run


@keras.saving.register_keras_serializable(package=PACKAGE)
class GradientTracker(keras.metrics.Metric):
    """Means over the measurements of an epoch, and the last measurement, of K tasks' gradients.

    Norms, cosines and what follows from them are those of the gradients of the tasks' losses (times `loss_weights`),
    without the weights that the method applies.
    """

    def __init__(self, task_names: list[str], name: str = "gradients"):
        super().__init__(name=name, dtype="float32")
        self.task_names = list(task_names)
        num_tasks = len(self.task_names)
        self._sizes = [num_tasks, num_tasks, num_tasks**2, num_tasks**2, 1, 1, 1, 1]
        # sums over the epoch, and what was added to them last
        self.state = self.add_variable((2, sum(self._sizes)), "zeros", name="state", aggregation="sum")

    def update_state(self, gramian: tf.Tensor, present: tf.Tensor) -> None:
        """Take in one measurement: the Gramian of unweighted gradients, float64 [K, K], and who was present, [K].

        Tasks whose gradient is zero have a norm but no direction. A Gramian that is not finite (float16 that
        overflows) is no measurement.
        """
        finite = tf.reduce_all(tf.math.is_finite(gramian))
        gramian = tf.where(finite, gramian, tf.zeros_like(gramian))
        present = present & finite
        norms = tf.sqrt(tf.maximum(tf.linalg.diag_part(gramian), 0.0))
        directed = present & (norms > 0.0)
        units = tf.math.divide_no_nan(tf.cast(directed, gramian.dtype), norms)
        cosines = tf.clip_by_value(gramian * units[:, None] * units[None, :], -1.0, 1.0)
        together = directed[:, None] & directed[None, :]
        pairs = tf.cast(tf.linalg.set_diag(together, tf.zeros_like(directed)), gramian.dtype)
        against = tf.math.divide_no_nan(
            tf.reduce_sum(pairs * tf.cast(cosines < 0.0, pairs.dtype)), tf.reduce_sum(pairs)
        )
        any_pair = tf.cast(tf.reduce_any(pairs > 0.0), gramian.dtype)
        any_task = tf.cast(tf.reduce_any(directed), gramian.dtype)
        measured = [
            norms * tf.cast(present, norms.dtype),
            tf.cast(present, norms.dtype),
            tf.reshape(cosines, [-1]),
            tf.reshape(tf.cast(together, norms.dtype), [-1]),
            [against, any_pair],
            [_log_condition(gramian, directed) * any_task, any_task],
        ]
        added = tf.cast(tf.concat(measured, axis=0), tf.float32)
        self.state.assign(tf.stack([tf.convert_to_tensor(self.state)[0] + added, added]))

    def result(self) -> dict[str, tf.Tensor]:
        """`<task>_gradient_norm`, `<one>-<other>_cosine` (up to 10 tasks), `conflict_rate`, `gramian_condition`.

        0 where nothing was measured; the condition is a geometric mean.
        """
        return self._named(tf.convert_to_tensor(self.state)[0])

    def last(self) -> dict[str, float]:
        """The same of the last measurement."""
        named = self._named(tf.convert_to_tensor(self.state.value)[1])
        return {key: float(value) for key, value in named.items()}

    def cosines(self) -> np.ndarray:
        """Mean cosines of the epoch [K, K]; NaN for pairs that were never measured."""
        _, _, sums, counts, *_ = tf.split(tf.convert_to_tensor(self.state.value)[0], self._sizes)
        num_tasks = len(self.task_names)
        sums, counts = (np.reshape(part.numpy(), (num_tasks, num_tasks)) for part in (sums, counts))
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)

    def log_keys(self) -> list[str]:
        """The keys of `result`."""
        return list(self._named(tf.zeros([sum(self._sizes)])))

    def _named(self, values: tf.Tensor) -> dict[str, tf.Tensor]:
        norms, present, cosines, pairs, against, any_pair, logs, any_task = tf.split(values, self._sizes)
        names = self.task_names
        found = dict(
            zip(
                [f"{name}_gradient_norm" for name in names],
                tf.unstack(tf.math.divide_no_nan(norms, present)),
                strict=True,
            )
        )
        if len(names) == 1:
            return found
        if len(names) <= MOST_TASKS_IN_PAIRS:
            means = tf.unstack(tf.math.divide_no_nan(cosines, pairs))
            for i, one in enumerate(names):
                for j, other in enumerate(names[i + 1 :], i + 1):
                    found[f"{one}-{other}_cosine"] = means[i * len(names) + j]
        condition = tf.where(any_task > 0.0, 10.0 ** tf.math.divide_no_nan(logs, any_task), 0.0)
        found[CONFLICTS] = tf.math.divide_no_nan(against, any_pair)[0]
        found[CONDITION] = condition[0]
        return found


def _log_condition(gramian: tf.Tensor, directed: tf.Tensor) -> tf.Tensor:
    """Common logarithm of the largest by the smallest eigenvalue of the Gramian of tasks that have a gradient."""
    there = tf.cast(directed, gramian.dtype)
    values = tf.linalg.eigvalsh(gramian * there[:, None] * there[None, :])
    largest = values[-1]
    # tasks left out have eigenvalues of 0, which come first
    absent = tf.minimum(tf.shape(values)[0] - tf.reduce_sum(tf.cast(directed, tf.int32)), tf.shape(values)[0] - 1)
    smallest = tf.maximum(tf.sort(values)[absent], _LEAST_EIGENVALUE * largest)
    ratio = tf.where(largest > 0.0, tf.math.divide_no_nan(largest, smallest), tf.ones_like(largest))
    return tf.math.log(ratio) / tf.math.log(tf.constant(10.0, gramian.dtype))

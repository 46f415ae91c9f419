"""Measured task gradients in the logs of any training."""

from typing import Any

import keras

from mtl_keras.errors import message


class WatchGradients(keras.callbacks.Callback):
    """Measure the tasks' gradients every so many steps, whatever the weighting, and put what is found into the logs.

    For this and all other callbacks the logs hold, as means over the measurements of the epoch: `<task>_gradient_norm`;
    `<one>-<other>_cosine` for every pair of up to 10 tasks; `conflict_rate`, the part of pairs with a negative cosine;
    `gramian_condition`, the largest by the smallest eigenvalue of the Gramian (geometric mean). They are those of the
    gradients before the method weighs them. `TaskBoard(gradients=...)` does the same and draws it.

    Args:
        gradients: Every how many steps, at least 1, default 100. The first step of a run is measured.
        scope: Where gradients are taken: `"parameters"` (default) of all shared variables, `"features"` at the cut,
            `"last_layer"`.

    A step that measures takes one more forward pass and, at `"parameters"`, as many passes back through the trunk as
    there are tasks; `docs/weightings.md` has the times. It is traced apart, so that the other steps cost what they do
    without. With `steps_per_execution` all steps of an execution measure or none.

    Raises:
        ValueError: `gradients` is no whole number of at least 1; or, when training begins, there is no such scope, the
            tasks share nothing that is trained, or a metric has one of these names.

    Example:
        >>> from mtl_keras import callbacks
        >>> watch = callbacks.WatchGradients(gradients=50, scope="features")
        >>> stop = keras.callbacks.EarlyStopping(monitor="conflict_rate", mode="max", patience=3)
    """

    _FEWEST = 1

    def __init__(self, gradients: int = 100, scope: str = "parameters"):
        super().__init__()
        if isinstance(gradients, bool) or not isinstance(gradients, int) or gradients < self._FEWEST:
            raise ValueError(
                message(
                    f"a whole number of steps of at least {self._FEWEST} from one measurement of gradients to the next",
                    "pass gradients=100",
                    gradients=gradients,
                )
            )
        self.gradients = gradients
        self.scope = scope
        self._steps = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self._steps = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        if self.gradients:
            self.model.watch_gradients(self.scope)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.gradients:
            self.model.plan.watch.due = -self._steps % self.gradients < self.model.steps_per_execution

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._steps += self.model.steps_per_execution

"""A task that stops improving stops training, and the others go on."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtl_keras.callbacks.monitor import Monitor
from mtl_keras.errors import message


class TaskEarlyStopping(keras.callbacks.Callback):
    """Let each task train as long as it improves; what stops leaves the balance, and the others go on without it.

    A task that has stopped is still measured and logged, with weight 0; no gradient of it moves the trunk, and its head
    returns to the weights of its best epoch and stays there. When the last task stops, training does.

    Args:
        tasks: Which tasks may stop, default all that train.
        patience: Epochs without improvement before a task stops, at least 1, default 3; one number, or `{task: number}`
            for each of them.
        min_delta: The least change of the deciding metric that counts, at least 0, default 0.
        validated: Whether `fit` gets validation data, default True; with False training itself is watched.
        restore_best_weights: Whether the heads return to the weights of their tasks' best epochs, default True: when a
            task stops, and at the end of training for those that have not.
        start_from_epoch: Epochs before watching begins, default 0.
        verbose: 1 for a line on standard error when a task stops, default 0.

    Attributes:
        stopped: `{task: epoch}`, counted from 0.
        best: `{task: the best value so far}`.

    Raises:
        ValueError: A number is out of range, or, when training begins, a task is unknown or does not train, or `fit`
            lacks the validation data.

    Example:
        >>> from mtl_keras import callbacks
        >>> callbacks.TaskEarlyStopping(patience={"age": 10, "gender": 3}).patience["age"]
        10

    An epoch without labels of a task says nothing about it and does not count. A value of NaN is no improvement. The
    trunk that the others train on moves under a head that has stopped: `BestModel("age.keras", "age")` keeps the whole
    model of a task's best epoch.
    """

    state_attributes = ("best", "waited", "stopped", "best_weights")

    def __init__(
        self,
        tasks: Sequence[str] | None = None,
        patience: int | Mapping[str, int] = 3,
        min_delta: float = 0.0,
        validated: bool = True,
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
        verbose: int = 0,
    ):
        super().__init__()
        for number in patience.values() if isinstance(patience, Mapping) else [patience]:
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ValueError(message("a patience of at least 1 epoch", "pass patience=3", patience=patience))
        if not 0 <= min_delta < float("inf"):
            raise ValueError(message("a finite min_delta of at least 0", "pass 0.0", min_delta=min_delta))
        self.tasks = None if tasks is None else list(tasks)
        self.patience, self.min_delta, self.validated = patience, float(min_delta), validated
        self.restore_best_weights, self.start_from_epoch, self.verbose = restore_best_weights, start_from_epoch, verbose
        self._begin()

    def _begin(self) -> None:
        self.best: dict[str, float] = {}
        self.waited: dict[str, int] = {}
        self.stopped: dict[str, int] = {}
        self.best_weights: dict[str, dict[str, np.ndarray]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        self._begin()
        training = [name for name in self.model.plan.names if name not in self.model.frozen]
        given = [*(self.tasks or []), *(self.patience if isinstance(self.patience, Mapping) else [])]
        for task in given:
            if task not in training:
                raise ValueError(message(f"tasks among those that train, {training}", "correct the name", task=task))
        watched = training if self.tasks is None else self.tasks
        if isinstance(self.patience, Mapping) and set(self.patience) != set(watched):
            raise ValueError(
                message(f"a patience for each of {watched}", "name every task once", patience=dict(self.patience))
            )
        self._watched = {task: Monitor(self.model, task, self.validated) for task in watched}
        self.model.let_sit_out(watched)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for task, monitor in self._watched.items():
            value = monitor.value(logs)
            if task in self.stopped or value is None:
                continue
            if monitor.improves(value, self.best.get(task), self.min_delta):
                self.best[task], self.waited[task] = value, 0
                if self.restore_best_weights:
                    self.best_weights[task] = {v.path: keras.ops.convert_to_numpy(v) for v in self._of_head(task)}
            elif epoch >= self.start_from_epoch:
                self.waited[task] = self.waited.get(task, 0) + 1
                if self.waited[task] >= self._patience(task):
                    self._stop(task, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        for task in self._watched:
            if task not in self.stopped:
                self._restore(task)

    def _patience(self, task: str) -> int:
        return self.patience[task] if isinstance(self.patience, Mapping) else self.patience

    def _stop(self, task: str, epoch: int) -> None:
        self.stopped[task] = epoch
        self._restore(task)
        at_rest = {*self.model.frozen, *self.stopped}
        self.model.plan.participation.sit_out(at_rest)
        if self.verbose:
            best = self.best.get(task, float("nan"))
            print(f"Epoch {epoch + 1}: task {task!r} has stopped, its best value is {best:.4g}", file=sys.stderr)
        if at_rest >= set(self.model.plan.names):
            self.model.stop_training = True

    def _restore(self, task: str) -> None:
        values = self.best_weights.get(task, {})
        for variable in self._of_head(task) if values else []:
            variable.assign(values[variable.path])

    def _of_head(self, task: str) -> list[keras.Variable]:
        return [v for layer in self.model.partition.task_layers[task] for v in layer.weights]

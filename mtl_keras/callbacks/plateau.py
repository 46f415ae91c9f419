"""Learning rates that fall where a task no longer improves."""

import sys
from typing import Any

import keras

from mtl_keras.callbacks.monitor import OVERALL, Monitor
from mtl_keras.errors import message
from mtl_keras.optimizers import SHARED
from mtl_keras.training.slots import parts_of


class ReduceOnPlateau(keras.callbacks.Callback):
    """Multiply the learning rate of a task's own optimizer by a factor when that task stops improving.

    Args:
        monitor: A task's name (its deciding metric), `"overall"` (default), or a log key.
        part: Which optimizer of `optimizers.per_task` it acts on: a task's name or `"shared"`. Default the monitored
            task, and `"shared"` for anything else. To be left out where there is one optimizer for everything.
        factor: Above 0 and below 1, default 0.1.
        patience: Epochs without improvement before it acts, at least 1, default 10.
        min_delta: The least change that counts, at least 0, default 0.
        cooldown: Epochs after a reduction in which nothing counts, default 0.
        lowest: Learning rate that it does not go below, default 0.
        validated: Whether `fit` gets validation data, default True; with False training itself is watched.
        verbose: 1 for a line on standard error at every reduction, default 0.

    Raises:
        ValueError: A number is out of range; or, when training begins, nothing of that name is logged, `fit` lacks the
            validation data, there is no such part, or a schedule rules its learning rate.

    Example:
        >>> from mtl_keras import callbacks
        >>> callbacks.ReduceOnPlateau("age", factor=0.5, patience=4).wanted
        'age'

    As `keras.callbacks.ReduceLROnPlateau`, which acts on all parts at once. An epoch without labels of the task says
    nothing about it and does not count.
    """

    state_attributes = ("best", "waited", "cooling", "reference")

    def __init__(
        self,
        monitor: str = OVERALL,
        part: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        cooldown: int = 0,
        lowest: float = 0.0,
        validated: bool = True,
        verbose: int = 0,
    ):
        super().__init__()
        if not 0 < factor < 1:
            raise ValueError(message("a factor above 0 and below 1", "pass factor=0.1", factor=factor))
        for name, number, least in (("patience", patience, 1), ("cooldown", cooldown, 0)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise ValueError(message(f"whole epochs of at least {least}", "correct it", **{name: number}))
        for name, value in (("min_delta", min_delta), ("lowest", lowest)):
            if not 0 <= value < float("inf"):
                raise ValueError(message(f"a finite {name} of at least 0", "pass 0.0", **{name: value}))
        self.wanted, self.part, self.factor, self.patience = monitor, part, factor, patience
        self.min_delta, self.cooldown, self.lowest = min_delta, cooldown, lowest
        self.validated, self.verbose = validated, verbose

    def on_train_begin(self, logs: Any = None) -> None:
        self.best: float | None = None
        self.waited, self.cooling = 0, 0
        self.reference: dict[str, float] = {}
        self._monitor = Monitor(self.model, self.wanted, self.validated, self.reference)
        parts = parts_of(self.model.optimizer)
        chosen = self.part or (self.wanted if self.wanted in self.model.plan.names else SHARED)
        if list(parts) == [""] and self.part is None:
            chosen = ""
        if chosen not in parts:
            raise ValueError(
                message(
                    f"a part of the optimizer, here {[part for part in parts if part]}",
                    "give the task an optimizer of its own with optimizers.per_task, or name another part",
                    part=chosen,
                )
            )
        self._optimizer = parts[chosen]
        # what Keras writes down of a schedule is a dict
        if not isinstance(self._optimizer.get_config()["learning_rate"], float):
            raise ValueError(
                message(
                    "an optimizer whose learning rate is a number",
                    "leave out the schedule, or this callback",
                    part=chosen or "all",
                )
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._monitor.add_overall(logs)
        value = self._monitor.value(logs)
        if value is None:
            return
        cooling = self.cooling > 0
        if cooling:
            self.cooling -= 1
        if self._monitor.improves(value, self.best, self.min_delta):
            self.best, self.waited = value, 0
        elif not cooling:
            self.waited += 1
            if self.waited >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        before = float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
        after = max(before * self.factor, self.lowest)
        self.waited, self.cooling = 0, self.cooldown
        if after < before:
            self._optimizer.learning_rate = after
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.wanted} no longer improves: rate {after:.4g}", file=sys.stderr)

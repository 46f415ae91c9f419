"""TensorBoard logs in which the tasks lie side by side."""

import os
import shutil
import sys
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras import distribute
from mtl_keras.callbacks.cosine_image import CosineImage
from mtl_keras.callbacks.now_known import now_known
from mtl_keras.callbacks.watch_gradients import WatchGradients
from mtl_keras.errors import message
from mtl_keras.training.slots import parts_of


class TaskBoard(WatchGradients):
    """Write losses, metrics and applied weights of every task for TensorBoard.

    Tags are `loss/<task>`, `<metric>/<task>`, `weight/<task>`, `loss/total` and `learning_rate` (with
    `optimizers.per_task` `learning_rate/<task>`), in the runs `train` and `validation` under the folder: one chart
    shows one quantity of all tasks.

    With `gradients` the tasks' gradients are measured too, whatever the weighting: `gradient_norm/<task>`,
    `cosine/<one>-<other>`, `conflict_rate` and `gramian_condition` as means over an epoch, the same under `batch/...`
    for every measurement, and the picture `cosine` of all pairs. `WatchGradients` says what they are and cost; they are
    in the logs of all callbacks.

    Args:
        log_dir: Folder of the runs.
        every: Also write training values every so many steps (tags `batch/...`); 0 (default) for epochs only. Reading
            values between epochs makes training wait for them.
        gradients: Measure gradients every so many steps; 0 (default) not at all.
        scope: Where gradients are measured, default `"parameters"`; `"features"` costs least.

    Example:
        >>> from mtl_keras import callbacks
        >>> callbacks.TaskBoard("runs/first").how_to_open()
        '...tensorboard --logdir runs/first'
    """

    _FEWEST = 0

    def __init__(self, log_dir: str | PathLike[str], every: int = 0, gradients: int = 0, scope: str = "parameters"):
        super().__init__(gradients, scope)
        self.log_dir = Path(log_dir)
        self.every = every
        self._writers: dict[str, Any] = {}
        self._picture: CosineImage | None = None

    def how_to_open(self) -> str:
        """The command that shows these logs, with its folder where the virtual environment is not activated."""
        command = "tensorboard"
        beside = Path(sys.executable).parent / command
        if not shutil.which(command) and beside.exists():
            command = min(os.path.relpath(beside), str(beside), key=len)
        return f"{command} --logdir {self.log_dir}"

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        if distribute.is_chief():
            self._writer("train")  # before training, which would be lost where nothing can be written

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        before = self._steps
        super().on_train_batch_end(batch, logs)
        if self.every and self._steps // self.every > before // self.every:
            self._write_batch(now_known(self.model, logs))
        if self.gradients and self.model.plan.watch.due:
            self._write_batch(self.model.plan.watch.tracker.last())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = dict(logs or {})
        train = {key: value for key, value in logs.items() if not key.startswith("val_")}
        validation = {key.removeprefix("val_"): value for key, value in logs.items() if key.startswith("val_")}
        self._write("train", {**self._tagged(train), **self._learning_rates()}, epoch)
        if self.gradients:
            self._draw(epoch)
        if validation:
            self._write("validation", self._tagged(validation), epoch)

    def on_train_end(self, logs: Any = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers, self._picture = {}, None

    def _tagged(self, logs: Any) -> dict[str, float]:
        """Log keys as `<quantity>/<task>`; of two tasks that fit, the longer name is meant (`age` and `age_group`)."""
        tags = {}
        names = sorted([*self.model.plan.names, *self._pairs()], key=len, reverse=True)
        for key, value in (logs or {}).items():
            task = next((name for name in names if key.startswith(f"{name}_")), None)
            if task is None:
                tags[f"{key}/total" if key == "loss" else key] = float(value)
            else:
                tags[f"{key.removeprefix(f'{task}_')}/{task}"] = float(value)
        return tags

    def _pairs(self) -> list[str]:
        keys = self.model.plan.watch.tracker.log_keys() if self.gradients else []
        return [key.removesuffix("_cosine") for key in keys if "-" in key]

    def _write_batch(self, logs: dict[str, Any]) -> None:
        self._write("train", {f"batch/{tag}": value for tag, value in self._tagged(logs).items()}, self._steps)

    def _draw(self, epoch: int) -> None:
        cosines = self.model.plan.watch.tracker.cosines()
        if len(cosines) > 1 and np.isfinite(cosines).any():
            self._picture = self._picture or CosineImage(self.model.plan.names)
            self._write("train", {"cosine": self._picture.draw(cosines)[None]}, epoch)

    def _learning_rates(self) -> dict[str, float]:
        rates = {part: optimizer.learning_rate for part, optimizer in parts_of(self.model.optimizer).items()}
        tags = {part: f"learning_rate/{part}" if part else "learning_rate" for part in rates}
        return {tags[part]: float(keras.ops.convert_to_numpy(rate)) for part, rate in rates.items()}

    def _write(self, run: str, values: dict[str, Any], step: int) -> None:
        if not distribute.is_chief():
            return
        # TensorFlow keeps every Python number that it has made a tensor of, for good; numpy's it does not
        writer = self._writer(run)
        with writer.as_default(np.int64(step)):
            for tag, value in values.items():
                if isinstance(value, np.ndarray):
                    tf.summary.image(tag, value)
                else:
                    tf.summary.scalar(tag, np.float32(value))
        writer.flush()

    def _writer(self, run: str) -> Any:
        if run not in self._writers:
            folder = str(self.log_dir / run)
            try:
                self._writers[run] = tf.summary.create_file_writer(folder)
            except tf.errors.OpError as error:
                do = "choose another, or make it writable"
                raise ValueError(message("a folder to write logs to", do, path=folder)) from error
        return self._writers[run]

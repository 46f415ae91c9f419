"""Progress that reads well on a terminal and in a log file."""

import sys
import time
from typing import Any, TextIO

import keras

from mtl_keras import distribute
from mtl_keras.callbacks.now_known import now_known


class Progress(keras.callbacks.Callback):
    """Steps, time left, loss and deciding metric of every task; use with `fit(verbose=0)`.

    On a terminal one line is rewritten in place; elsewhere whole lines are written, without control characters. Of
    several workers the chief writes; between epochs its numbers are those of its own share of the data.

    Args:
        stream: Where to write, default standard output.
        every: Seconds between lines: default 0.5 on a terminal, 10 elsewhere.
    """

    state_attributes = ()  # its clock is that of this process: nothing to resume

    def __init__(self, stream: TextIO | None = None, every: float | None = None):
        super().__init__()
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.every = every if every is not None else (0.5 if self.live else 10.0)
        self._width = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self.steps_done = epoch, 0
        self.began = self.shown = time.monotonic()
        self.first_step: tuple[int, float] | None = None  # how many steps, and when they were done

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # `batch` is the last one of an execution of several steps
        self.steps_done = batch + 1
        now = time.monotonic()
        if self.first_step is None:
            self.first_step = self.steps_done, now
        if now - self.shown < self.every:
            return
        self.shown = now
        steps = self.params.get("steps")
        text = f"step {self.steps_done}/{steps or '?'}{self._time_left(now, steps)}"
        self._line(f"{text}: {self._summary(now_known(self.model, logs))}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        text = f"{self.steps_done} steps in {_clock(time.monotonic() - self.began)}: {self._summary(logs)}"
        if any(key.startswith("val_") for key in logs or {}):
            text += f" | validation {self._summary(logs, 'val_')}"
        self._line(text, final=True)

    def _time_left(self, now: float, steps: int | None) -> str:
        """From the pace since the first step, which waits for tracing and for the shuffle buffer."""
        done, then = self.first_step or (0, now)
        if not steps or self.steps_done == done:
            return ""
        return f", {_clock((now - then) / (self.steps_done - done) * (steps - self.steps_done))} left"

    def _summary(self, logs: Any, prefix: str = "") -> str:
        parts = [f"loss {float(logs[f'{prefix}loss']):.3f}"]
        for plan in self.model.plan.tasks:
            text = f"{plan.name} loss {float(logs[f'{prefix}{plan.name}_loss']):.3f}"
            key = f"{prefix}{plan.name}_{plan.best[0]}"
            if plan.best[0] != "loss" and key in logs:
                text += f" {plan.best[0]} {float(logs[key]):.3f}"
            parts.append(text)
        return "; ".join(parts)

    def _line(self, text: str, final: bool = False) -> None:
        if not distribute.is_chief():
            return
        text = f"Epoch {self.epoch + 1}/{self.params.get('epochs', '?')}, {text}"
        if self.live:
            self.stream.write("\r" + text.ljust(self._width))
            self._width = 0 if final else len(text)
            self.stream.write("\n" if final else "")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"

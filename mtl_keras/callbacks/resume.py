"""A run that is killed and started again ends as if it had never been killed."""

import csv
import io
import os
import signal
import sys
import threading
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mtl_keras import distribute
from mtl_keras.callbacks import run_data, run_state
from mtl_keras.callbacks.checkpoints import Checkpoint, CheckpointFolder
from mtl_keras.callbacks.plain import Arrays, packed
from mtl_keras.errors import message
from mtl_keras.training.continuing import Continuation, FitCall

# sysexits.h's EX_TEMPFAIL: try again later
SAVED = 75
_FORMAT = 2
_SHOWN = 10  # differences in one message


class Resume(Continuation):
    """Save the whole state of a run, and take it up when the same program is started again.

    After every epoch, and every so many steps, the state is written into the folder: weights, optimizer, the state of
    the weighting, random numbers (dropout's too), metrics, callbacks' memory, the logs, the place in the data.
    Killed at any moment and started again with the same command, a run ends with the weights, logs and best model of
    one that was never killed, bit for bit, on the same machine and with
    `tf.config.experimental.enable_op_determinism()`.

    Args:
        folder: Where the checkpoints lie; one run for each folder. `history.csv` there holds the logs of all epochs.
        every: Also save every so many steps, for long epochs; default only after epochs. Going on within an epoch reads
            its first batches again, without training on them.
        keep: How many checkpoints stay, at least 1, default 2, so that one that the disk damaged does no harm.

    Raises:
        ValueError: The folder is in use or cannot be written to; or, when `fit` begins, the checkpoint is of another
            model or run, with the differences listed; or the data cannot be read again.
        OSError: While training: a checkpoint cannot be written. The last good one stays.

    Example:
        >>> import mtl_keras as mtl
        >>> resume = mtl.callbacks.Resume("runs/first/resume", every=1000)

    On SIGTERM the run saves after the current step and exits with status 75 (`Resume.SAVED`), "try again later". A
    second SIGTERM ends it at once.

    Of several workers the chief writes, after epochs only, and all take up what it wrote: the folder has to be on a
    file system that they share. SIGTERM ends them without saving; the epoch begins again.

    The order of the data has to follow from seed and epoch, as it does with `mtl_keras.data`, with arrays (after
    `keras.utils.set_random_seed`) and with `tf.data`'s `shuffle` with a seed. `docs/training.md` says more.
    """

    SAVED = SAVED

    def __init__(self, folder: str | PathLike[str], every: int | None = None, keep: int = 2):
        super().__init__()
        for name, number in (("every", every), ("keep", keep)):
            given = name == "keep" or number is not None
            if given and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ValueError(message(f"a whole number of at least 1 for {name}", "correct it", **{name: number}))
        if every is not None and distribute.number_of_workers() > 1:
            raise ValueError(
                message(
                    "checkpoints after epochs only, with several workers (within an epoch each has its own logs)",
                    "leave it out, and make epochs shorter by steps_per_epoch",
                    every=every,
                )
            )
        self.every = every
        self._folder = CheckpointFolder(Path(folder), keep)
        self._loaded: Checkpoint | None = None
        self._terminated = False
        self._previous_handler: Any = None

    # -- before training -----------------------------------------------------------------------------------------

    def take_up(self, model: Any, call: FitCall) -> dict[str, Any]:
        """Find the newest checkpoint; returns the epoch to begin with, and the data in passes that can be counted."""
        if distribute.is_chief():
            self._folder.lock()
        self._call = call
        self._variables = run_state.Variables(model)
        self._settings = {**run_state.settings(model), **run_data.settings(call)}
        self._loaded, notes = self._folder.latest()
        for note in notes:
            _note(note)
        self._check_workers(model)
        self._terminated = False
        self._validations = 0
        data = {"x": run_data.in_passes(call.x), "validation_data": run_data.in_passes(call.validation_data)}
        if self._loaded is None:
            return data
        self._check(self._loaded)
        epochs, step, state = self._loaded.epoch, self._loaded.step, self._loaded.state
        self._validations = state["validations"]
        run_data.begin_again(call.x, epochs, two_at_once=model.weighting.validation_batches)
        run_data.begin_again(call.validation_data, self._validations)
        where = f"after {epochs} epochs" + (f" and {step} steps" if step else "")
        if state["stopped"]:
            _note(f"{self._folder.path}: the run was stopped by a callback {where}")
            return {**data, "initial_epoch": call.epochs}
        _note(f"{self._folder.path}: going on {where}")
        return {**data, "initial_epoch": min(epochs, call.epochs)}

    def _check_workers(self, model: Any) -> None:
        """All workers have to go on from the same place, or their weights would differ from then on."""
        epoch = self._loaded.epoch if self._loaded is not None else 0
        if not distribute.all_agree(model.distribute_strategy, epoch):
            raise ValueError(
                message(
                    "the same checkpoint on every worker",
                    "keep the folder on a file system that all workers share",
                    folder=str(self._folder.path),
                    epochs=epoch,
                )
            )

    def _check(self, found: Checkpoint) -> None:
        if found.state.get("format") != _FORMAT:
            raise ValueError(
                message(
                    f"a checkpoint of format {_FORMAT}",
                    "go on with the version of mtl_keras that wrote it, or choose another folder",
                    folder=str(self._folder.path),
                    format=found.state.get("format"),
                )
            )
        lines = run_state.differences(found.state["settings"], self._settings)
        lines += run_state.differences(found.state["variables"], self._variables.description())
        if lines:
            more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            raise ValueError(
                message(
                    "the model, settings and data that the run in this folder began with",
                    "choose another folder for another run",
                    folder=str(self._folder.path),
                    differences=[*lines[:_SHOWN], *more],
                )
            )

    def on_train_begin(self, logs: Any = None) -> None:
        self._callbacks = run_state.Callbacks(self._call.callbacks)
        self._epoch, self._executions = 0, 0
        self._metrics_before_validation: Arrays = {}
        self._logs: list[dict[str, float]] = []
        if self._loaded is not None:
            self._restore(self._loaded)
        # only the main thread may be told
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGTERM, self._on_sigterm)

    def let_go(self) -> None:
        """Give back the folder and the signal."""
        if self._previous_handler is not None:
            signal.signal(signal.SIGTERM, self._previous_handler)
            self._previous_handler = None
        self._folder.unlock()
        self._loaded = None

    # -- while training ------------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch, self._executions = epoch, 0
        found = self._loaded
        if found is not None and found.step:
            # what the callbacks did at this epoch's beginning they did before the checkpoint too
            self._restore(found)
            # Keras draws the order of a PyDataset's batches when their first one is read
            run_state.restore_random_state(found.state["random at begin"], found.arrays)
        self._random_at_begin = run_state.random_numbers()
        if found is None:
            return
        self._pass_over(run_data.batches_before(self._call, found.epoch, self.model.steps_per_execution), found.step)
        if not found.step:
            self._loaded = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._executions += 1
        if self._loaded is not None:
            if self._terminated:
                _exit(self._folder.path)
            if self._executions == self._loaded.step:
                self._restore(self._loaded)
                self._loaded = None
            return
        if self._terminated:
            self._save_and_exit()
        before, now = ((self._executions - i) * self.model.steps_per_execution for i in (1, 0))
        if self.every and now // self.every > before // self.every:
            self._save(self._epoch, self._executions)

    def _pass_over(self, batches: int, executions: int) -> None:
        """Read batches of earlier epochs, and of executions of this one, without training on them."""
        if not batches and not executions:
            return
        model, train = self.model, self.model.train_function
        left = executions

        def read(iterator: Any) -> Any:
            nonlocal batches, left
            for _ in range(batches):
                next(iterator)
            batches = 0
            if left == 0:
                model.train_function = train
                return train(iterator)
            for _ in range(model.steps_per_execution):
                next(iterator)
            left -= 1
            return model.get_metrics_result()

        model.train_function = read

    def on_test_begin(self, logs: Any = None) -> None:
        self._metrics_before_validation = self._variables.values_of_metrics()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._terminated:
            self._save_and_exit()

    def on_test_end(self, logs: Any = None) -> None:
        self._metrics_before_validation = {}
        self._validations += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._logs.append({"epoch": epoch, **{key: float(value) for key, value in (logs or {}).items()}})
        self._save(epoch + 1, 0)
        if distribute.is_chief():
            self._write_history()
        if self._terminated:
            _exit(self._folder.path)

    # -- the state -----------------------------------------------------------------------------------------------

    def _save(self, epoch: int, executions: int) -> None:
        if not distribute.is_chief():
            return
        arrays: Arrays = {}
        state = {
            "format": _FORMAT,
            "keras": keras.version(),
            "tensorflow": tf.__version__,
            "variables": self._variables.description(),
            "settings": self._settings,
            "callbacks": self._callbacks.state(arrays),
            "random": packed(run_state.random_numbers(), arrays, "c"),
            "random at begin": packed(self._random_at_begin, arrays, "c"),
            "validations": self._validations,
            "logs": self._logs,
            "stopped": bool(self.model.stop_training) and executions == 0,
        }
        before = self._metrics_before_validation
        values = ((name, before.get(name, value)) for name, value in self._variables.arrays())
        self._folder.write(epoch, executions, state, (pair for part in (values, arrays.items()) for pair in part))

    def _restore(self, found: Checkpoint) -> None:
        self._variables.assign(found.arrays)
        self._logs = list(found.state["logs"])
        gone = self._callbacks.restore(found.state["callbacks"], found.arrays)
        run_state.restore_random_state(found.state["random"], found.arrays)
        for name in gone:
            _note(f"the checkpoint holds the state of a callback that is not there any more: {name.split('#')[0]}")

    def _write_history(self) -> None:
        """The logs of all epochs as a table; what an epoch did not log is empty."""
        text = io.StringIO()
        keys = dict.fromkeys(key for row in self._logs for key in row)
        table = csv.DictWriter(text, list(keys), lineterminator="\n")
        table.writeheader()
        table.writerows(self._logs)
        self._folder.write_text("history.csv", text.getvalue())

    # -- SIGTERM -------------------------------------------------------------------------------------------------

    def _on_sigterm(self, number: int, frame: Any) -> None:
        if self._terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        self._terminated = True

    def _save_and_exit(self) -> None:
        if distribute.number_of_workers() == 1:  # several were told at different steps
            self._save(self._epoch, self._executions)
        _exit(self._folder.path)


def _exit(folder: Path) -> None:
    done = "saved" if distribute.number_of_workers() == 1 else "ended"
    _note(f"{folder}: {done} on SIGTERM; start the same command again to go on")
    raise SystemExit(SAVED)


def _note(text: str) -> None:
    print(f"Resume: {text}", file=sys.stderr, flush=True)

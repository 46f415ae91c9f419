"""Early stopping and the best model, on one task or on all of them."""

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtl_keras import distribute
from mtl_keras.callbacks.checkpoints import settle
from mtl_keras.callbacks.monitor import OVERALL, Monitor
from mtl_keras.callbacks.one_name import variables_of_one_name
from mtl_keras.errors import message


class _Watching:
    """What both callbacks share: the monitor is resolved when training begins, its direction known."""

    model: Any
    params: dict[str, Any]
    wanted: str
    watch: Monitor

    def resolve(self, validated: bool) -> Monitor:
        self.reference: dict[str, float] = {}
        self.watch = Monitor(self.model, self.wanted, validated, self.reference)
        return self.watch


class EarlyStopping(keras.callbacks.EarlyStopping, _Watching):
    """Stop when what is watched no longer improves; Keras' callback with the direction known.

    Args:
        monitor: `"overall"` (default: the mean over the tasks' deciding metrics, see `analysis.overall_score`), a
            task's name (its deciding metric), or a log key such as `"val_age_mae"`.
        validated: Whether `fit` gets validation data, default True; with False training itself is watched.
        patience: Epochs without improvement before training stops, default 3.
        min_delta: The least change that counts, default 0.
        restore_best_weights: Whether the weights of the best epoch come back at the end, default True.
        start_from_epoch: Epochs before watching begins, default 0.

    Raises:
        ValueError: When training begins: nothing of that name is logged, or what is watched is measured on validation
            data and `fit` has none.

    Example:
        >>> from mtl_keras import callbacks
        >>> callbacks.EarlyStopping("overall", patience=2).wanted
        'overall'

    With errors among the deciding metrics the first epoch is the reference of the overall score. An epoch whose value
    is NaN is never the best. An epoch without validation or without labels of what is watched does not count.
    """

    def __init__(
        self,
        monitor: str = OVERALL,
        validated: bool = True,
        patience: int = 3,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
        verbose: int = 0,
    ):
        super().__init__(
            monitor,
            min_delta,
            patience,
            verbose,
            mode="min",
            restore_best_weights=restore_best_weights,
            start_from_epoch=start_from_epoch,
        )
        self.wanted, self.validated = monitor, validated

    def on_train_begin(self, logs: Any = None) -> None:
        watch = self.resolve(self.validated)
        self.monitor, self.mode = watch.key, watch.mode
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.watch.add_overall(logs)
        if self.watch.says_nothing(logs):
            return
        super().on_epoch_end(epoch, _without_nan(logs, self.monitor, self.mode))


class BestModel(keras.callbacks.ModelCheckpoint, _Watching):
    """Keep the best model in a file, which is always a whole one; Keras' checkpoint with the direction known.

    Args:
        path: A `.keras` file, or a `.weights.h5` file with `save_weights_only=True`.
        monitor, validated: As for `EarlyStopping`.
        save_weights_only: Default False.

    Raises:
        ValueError: The path ends in something else; or as for `EarlyStopping`.
        OSError: While training: the file cannot be written. The one that is there stays.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        monitor: str = OVERALL,
        validated: bool = True,
        save_weights_only: bool = False,
        verbose: int = 0,
    ):
        ending = ".weights.h5" if save_weights_only else ".keras"
        if not fspath(path).endswith(ending):
            raise ValueError(message(f"a path that ends in {ending}", "rename the file", path=fspath(path)))
        # Keras writes beside the file, which takes the name when it is finished
        unfinished = Path(path).with_name(f".unfinished-{Path(path).name}")
        super().__init__(
            fspath(unfinished), monitor, verbose, save_best_only=True, save_weights_only=save_weights_only, mode="min"
        )
        self.path = fspath(path)
        self.wanted, self.validated = monitor, validated

    def on_train_begin(self, logs: Any = None) -> None:
        watch = self.resolve(self.validated)
        better: Callable[[Any, Any], Any] = np.less if watch.mode == "min" else np.greater
        self.monitor, self.mode, self.monitor_op = watch.key, watch.mode, better
        self.best = np.inf if watch.mode == "min" else -np.inf
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.watch.add_overall(logs)
        if self.watch.says_nothing(logs) or not distribute.is_chief():
            return
        before = self.best
        try:
            with variables_of_one_name():
                super().on_epoch_end(epoch, _without_nan(logs, self.monitor, self.mode))
            if self.best != before:
                settle(Path(self.filepath), Path(self.path))
        except OSError as error:
            do, text = "make room and start again; a file that was there is as it was", error.strerror or str(error)
            raise OSError(error.errno, message(f"room for the best model at {self.path}", do, error=text)) from error
        finally:
            Path(self.filepath).unlink(missing_ok=True)


def _without_nan(logs: Any, key: str, mode: str) -> Any:
    """Logs in which a NaN is the worst value there is: comparisons with NaN are false, whichever way one asks."""
    if logs and key in logs and np.isnan(logs[key]):
        return {**logs, key: np.inf if mode == "min" else -np.inf}
    return logs

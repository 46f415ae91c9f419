"""Callbacks that know the tasks: which metric counts, which way is better, which weight was applied."""

from mtl_keras.callbacks.best import BestModel, EarlyStopping
from mtl_keras.callbacks.monitor import OVERALL
from mtl_keras.callbacks.plateau import ReduceOnPlateau
from mtl_keras.callbacks.progress import Progress
from mtl_keras.callbacks.resume import Resume
from mtl_keras.callbacks.schedule import Schedule
from mtl_keras.callbacks.task_board import TaskBoard
from mtl_keras.callbacks.task_early_stopping import TaskEarlyStopping
from mtl_keras.callbacks.watch_gradients import WatchGradients

__all__ = [
    "OVERALL",
    "BestModel",
    "EarlyStopping",
    "Progress",
    "ReduceOnPlateau",
    "Resume",
    "Schedule",
    "TaskBoard",
    "TaskEarlyStopping",
    "WatchGradients",
]

"""One optimizer for each task, on `keras.optimizers.MultiOptimizer`, and schedules that begin gently."""

from mtl_keras.optimizers.per_task import SHARED, WEIGHTING, PerTask, per_task
from mtl_keras.optimizers.warm_up import WarmUp

__all__ = ["SHARED", "WEIGHTING", "PerTask", "WarmUp", "per_task"]

"""Methods that combine the tasks' losses or gradients; `names()` lists them, `get` makes one."""

from mtl_keras.weightings.base import GradientAggregator, GradientWeighting, LossWeighting, TaskInfo, Weighting, registry
from mtl_keras.weightings.equal import Equal
from mtl_keras.weightings.static import Static
from mtl_keras.weightings.uncertainty import Uncertainty

get = registry.get
names = registry.names

__all__ = [
    "Equal",
    "GradientAggregator",
    "GradientWeighting",
    "LossWeighting",
    "Static",
    "TaskInfo",
    "Uncertainty",
    "Weighting",
    "get",
    "names",
]

"""Methods that combine the tasks' losses or gradients; `names()` lists them, `get` makes one."""

from mtl_keras.weightings.base import (
    GradientAggregator,
    GradientWeighting,
    LossWeighting,
    TaskInfo,
    Weighting,
    registry,
)
from mtl_keras.weightings.dbmtl import DBMTL
from mtl_keras.weightings.equal import Equal
from mtl_keras.weightings.excess_mtl import ExcessMTL
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradnorm import GradNorm
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.krum import Krum
from mtl_keras.weightings.moco import MoCo
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.sdmgrad import SDMGrad
from mtl_keras.weightings.static import Static
from mtl_keras.weightings.trimmed_mean import TrimmedMean
from mtl_keras.weightings.uncertainty import Uncertainty

get = registry.get
names = registry.names

__all__ = [
    "DBMTL",
    "Equal",
    "ExcessMTL",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientAggregator",
    "GradientWeighting",
    "Krum",
    "LossWeighting",
    "MoCo",
    "MoDo",
    "PCGrad",
    "RandomGradient",
    "SDMGrad",
    "Static",
    "TaskInfo",
    "TrimmedMean",
    "Uncertainty",
    "Weighting",
    "get",
    "names",
]

"""Methods that combine the tasks' losses or gradients; `names()` lists them, `get` makes one."""

from typing import Any

from mtl_keras.weightings.aligned_mtl import AlignedMTL
from mtl_keras.weightings.auto_lambda import AutoLambda
from mtl_keras.weightings.base import (
    GradientAggregator,
    GradientWeighting,
    LossWeighting,
    TaskInfo,
    Weighting,
    registry,
)
from mtl_keras.weightings.cagrad import CAGrad
from mtl_keras.weightings.complementary import Complementary
from mtl_keras.weightings.composed import Composed
from mtl_keras.weightings.con_fig import ConFIG
from mtl_keras.weightings.cov import CoV
from mtl_keras.weightings.dbmtl import DBMTL
from mtl_keras.weightings.dual_proj import DualProj
from mtl_keras.weightings.dwa import DWA
from mtl_keras.weightings.equal import Equal
from mtl_keras.weightings.every_n import EveryN
from mtl_keras.weightings.excess_mtl import ExcessMTL
from mtl_keras.weightings.fairgrad import FairGrad
from mtl_keras.weightings.famo import FAMO
from mtl_keras.weightings.gls import GLS
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradnorm import GradNorm
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.imtl import IMTL
from mtl_keras.weightings.imtlg import IMTLG
from mtl_keras.weightings.imtll import IMTLL
from mtl_keras.weightings.inverse_loss import InverseLoss
from mtl_keras.weightings.krum import Krum
from mtl_keras.weightings.log_space import LogSpace
from mtl_keras.weightings.log_sum import LogSum
from mtl_keras.weightings.mgda import MGDA
from mtl_keras.weightings.moco import MoCo
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.nash_mtl import NashMTL
from mtl_keras.weightings.pbi import PBI
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.preference import Preference
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.revised_uncertainty import RevisedUncertainty
from mtl_keras.weightings.rlw import RLW
from mtl_keras.weightings.sdmgrad import SDMGrad
from mtl_keras.weightings.smoothed import Smoothed
from mtl_keras.weightings.soft_inverse_loss import SoftInverseLoss
from mtl_keras.weightings.static import Static
from mtl_keras.weightings.stch import STCH
from mtl_keras.weightings.trimmed_mean import TrimmedMean
from mtl_keras.weightings.uncertainty import Uncertainty
from mtl_keras.weightings.upgrad import UPGrad

names = registry.names


def get(identifier: Any) -> Weighting:
    """A weighting from its name, config or instance; two of them in a list or tuple are a `Composed`.

    Raises:
        ValueError: No weighting has that name, or the two do not go together.
        TypeError: `identifier` is none of these.

    Example:
        >>> from mtl_keras import weightings
        >>> weightings.get(["uncertainty", "pcgrad"]).name
        'composed'
    """
    return Composed(identifier) if isinstance(identifier, (list, tuple)) else registry.get(identifier)


__all__ = [
    "DBMTL",
    "DWA",
    "FAMO",
    "GLS",
    "IMTL",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "PBI",
    "RLW",
    "STCH",
    "AlignedMTL",
    "AutoLambda",
    "CAGrad",
    "CoV",
    "Complementary",
    "Composed",
    "ConFIG",
    "DualProj",
    "Equal",
    "EveryN",
    "ExcessMTL",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientAggregator",
    "GradientWeighting",
    "InverseLoss",
    "Krum",
    "LogSpace",
    "LogSum",
    "LossWeighting",
    "MoCo",
    "MoDo",
    "NashMTL",
    "PCGrad",
    "Preference",
    "RandomGradient",
    "RevisedUncertainty",
    "SDMGrad",
    "Smoothed",
    "SoftInverseLoss",
    "Static",
    "TaskInfo",
    "TrimmedMean",
    "UPGrad",
    "Uncertainty",
    "Weighting",
    "get",
    "names",
]

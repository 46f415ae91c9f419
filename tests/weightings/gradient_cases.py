"""What the tests of gradient methods share: the methods, batches for them, and a look at what they did."""

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.weightings.aligned_mtl import AlignedMTL
from mtl_keras.weightings.cagrad import CAGrad
from mtl_keras.weightings.con_fig import ConFIG
from mtl_keras.weightings.dbmtl import DBMTL
from mtl_keras.weightings.dual_proj import DualProj
from mtl_keras.weightings.excess_mtl import ExcessMTL
from mtl_keras.weightings.fairgrad import FairGrad
from mtl_keras.weightings.graddrop import GradDrop
from mtl_keras.weightings.gradnorm import GradNorm
from mtl_keras.weightings.gradvac import GradVac
from mtl_keras.weightings.imtl import IMTL
from mtl_keras.weightings.imtlg import IMTLG
from mtl_keras.weightings.krum import Krum
from mtl_keras.weightings.mgda import MGDA
from mtl_keras.weightings.moco import MoCo
from mtl_keras.weightings.modo import MoDo
from mtl_keras.weightings.nash_mtl import NashMTL
from mtl_keras.weightings.pcgrad import PCGrad
from mtl_keras.weightings.random_gradient import RandomGradient
from mtl_keras.weightings.sdmgrad import SDMGrad
from mtl_keras.weightings.trimmed_mean import TrimmedMean
from mtl_keras.weightings.upgrad import UPGrad

# every method with settings that are not its defaults
METHODS = {
    "pcgrad": (PCGrad, {"seed": 5}),
    "gradvac": (GradVac, {"beta": 0.3, "seed": 5}),
    "graddrop": (GradDrop, {"leak": 0.25, "seed": 5}),
    "moco": (MoCo, {"beta": 0.6, "sigma": 0.4, "gamma": 0.2, "gamma_sigma": 0.3, "rho": 0.1}),
    "modo": (MoDo, {"gamma": 0.01, "rho": 0.2}),
    "sdmgrad": (SDMGrad, {"lam": 0.5, "learning_rate": 0.3, "momentum": 0.4, "iterations": 7}),
    "dbmtl": (DBMTL, {"beta": 0.8, "sigma": 0.1}),
    "excess_mtl": (ExcessMTL, {"learning_rate": 0.5, "warmup": 2}),
    "krum": (Krum, {"byzantine": 0, "selected": 2}),
    "trimmed_mean": (TrimmedMean, {"trim": 0}),
    "random_gradient": (RandomGradient, {"seed": 5}),
    "gradnorm": (GradNorm, {"alpha": 0.5, "learning_rate": 0.1}),
    "mgda": (MGDA, {"normalization": "loss+"}),
    "imtlg": (IMTLG, {}),
    "imtl": (IMTL, {"initial_log_scale": 0.5}),
    "cagrad": (CAGrad, {"c": 0.8, "rescale": "square"}),
    "nash_mtl": (NashMTL, {"max_norm": 0.5}),
    "fairgrad": (FairGrad, {"alpha": 2.0}),
    "aligned_mtl": (AlignedMTL, {"scale_mode": "rmse"}),
    "upgrad": (UPGrad, {}),
    "dual_proj": (DualProj, {}),
    "con_fig": (ConFIG, {}),
}
RANDOM = ("pcgrad", "gradvac", "graddrop", "random_gradient")


def make(name):
    cls, arguments = METHODS[name]
    return cls(**arguments)


def batches(num_tasks, size=6, count=3):
    """`count` Jacobians [count, K, P] that conflict here and there, and losses [count, K]."""
    rng = np.random.default_rng(num_tasks)
    return rng.normal(size=(count, num_tasks, size)), rng.uniform(0.5, 2.0, (count, num_tasks))


def direction(method, losses, jacobian, present=None):
    """What a training step does with one batch: absent rows are zero."""
    present = np.ones(len(jacobian), bool) if present is None else np.asarray(present)
    method.bind(len(jacobian), gradient_size=np.shape(jacobian)[1])
    rows = tf.constant(jacobian * present[:, None])
    return method._direction(tf.constant(losses * present), rows, tf.constant(present)).numpy()


def state(method):
    return {v.name: keras.ops.convert_to_numpy(v) for v in method.variables}


def weights_of(method, jacobian, losses=None):
    """The weights behind a direction, where rows are independent."""
    return np.linalg.lstsq(np.transpose(jacobian), method.combine(jacobian, losses).numpy(), rcond=None)[0]

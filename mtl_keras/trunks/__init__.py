"""Trunks: layers from an input to features."""

from mtl_keras.trunks.base import Trunk, registry
from mtl_keras.trunks.conv import Conv
from mtl_keras.trunks.pretrained import Pretrained
from mtl_keras.trunks.residual import Residual

get = registry.get
names = registry.names

__all__ = ["Conv", "Pretrained", "Residual", "Trunk", "get", "names"]

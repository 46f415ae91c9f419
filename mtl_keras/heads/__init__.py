"""Heads: layers from features to one named output; `names()` lists them, `get` makes one."""

from mtl_keras.heads.base import Head, registry
from mtl_keras.heads.classifier import Classifier
from mtl_keras.heads.multi_label import MultiLabel
from mtl_keras.heads.ordinal import Ordinal
from mtl_keras.heads.regressor import Regressor

get = registry.get
names = registry.names

__all__ = ["Classifier", "Head", "MultiLabel", "Ordinal", "Regressor", "get", "names"]

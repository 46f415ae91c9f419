"""Sharing: how tasks share trunks."""

from mtl_keras.sharing.base import Sharing, registry
from mtl_keras.sharing.hard import Hard

get = registry.get
names = registry.names

__all__ = ["Hard", "Sharing", "get", "names"]

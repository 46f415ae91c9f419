"""Data: labels that are partly there."""

from mtl_keras.data.missing import complete

__all__ = ["complete"]

"""Data sets of tensorflow-datasets."""

from mtl_keras.data.tfds.source import from_tfds

__all__ = ["from_tfds"]

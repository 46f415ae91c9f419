"""TFRecord files: written from any source, read in parallel, every record accounted for."""

from mtl_keras.data.tfrecord.features import Feature, ImageFile, Numbers, Png, Raw
from mtl_keras.data.tfrecord.problems import RecordProblem
from mtl_keras.data.tfrecord.source import from_tfrecord
from mtl_keras.data.tfrecord.writer import write_tfrecord

__all__ = ["Feature", "ImageFile", "Numbers", "Png", "Raw", "RecordProblem", "from_tfrecord", "write_tfrecord"]

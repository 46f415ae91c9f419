"""Data: from anyone's labels to balanced batches, with labels that are partly there."""

from mtl_keras.data import augment, tfrecord
from mtl_keras.data.arrays import from_arrays
from mtl_keras.data.columns import Column
from mtl_keras.data.csv_files import from_csv
from mtl_keras.data.directories import from_directory
from mtl_keras.data.examples import ArrayExamples, Examples, IndexedExamples
from mtl_keras.data.kinds import KINDS, ClassKind, LabelKind, MultiLabelKind, NumberKind, OrdinalKind, Tally
from mtl_keras.data.missing import complete
from mtl_keras.data.mixing import MixedSource, mix
from mtl_keras.data.order import EpochOrder
from mtl_keras.data.source import Source
from mtl_keras.data.splits import Splits
from mtl_keras.data.stages import Augment, Batching
from mtl_keras.data.tfds import from_tfds
from mtl_keras.data.tfrecord import from_tfrecord, write_tfrecord

__all__ = [
    "KINDS",
    "ArrayExamples",
    "Augment",
    "Batching",
    "ClassKind",
    "Column",
    "EpochOrder",
    "Examples",
    "IndexedExamples",
    "LabelKind",
    "MixedSource",
    "MultiLabelKind",
    "NumberKind",
    "OrdinalKind",
    "Source",
    "Splits",
    "Tally",
    "augment",
    "complete",
    "from_arrays",
    "from_csv",
    "from_directory",
    "from_tfds",
    "from_tfrecord",
    "mix",
    "tfrecord",
    "write_tfrecord",
]

"""The model class, the builder and the partition of a graph into shared and task-specific parts."""

from mtl_keras import heads, sharing, trunks, weightings  # noqa: F401  saved models hold them: loading must find them
from mtl_keras.models.build import build
from mtl_keras.models.multi_task_model import MultiTaskModel
from mtl_keras.models.partition import Partition, partition
from mtl_keras.models.warm_start import LoadReport, load_task, load_trunk

__all__ = ["LoadReport", "MultiTaskModel", "Partition", "build", "load_task", "load_trunk", "partition"]

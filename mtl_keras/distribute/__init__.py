"""Training on several devices and several machines: strategies by name, workers, the launcher.

`python -m mtl_keras.distribute.launch` starts workers. TensorFlow is imported when a strategy is made, not before.
"""

from mtl_keras.distribute.cluster import Cluster, cluster, is_chief, number_of_workers, own_folder
from mtl_keras.distribute.strategies import NAMES, all_agree, chief_first, replicas, strategy, wait_for_all

__all__ = [
    "NAMES",
    "Cluster",
    "all_agree",
    "chief_first",
    "cluster",
    "is_chief",
    "number_of_workers",
    "own_folder",
    "replicas",
    "strategy",
    "wait_for_all",
]

"""Training on several devices and several machines: strategies by name, workers, the launcher.

`python -m mtl_keras.distribute.launch` starts workers. TensorFlow is imported when a strategy is made, not before.
"""

from mtl_keras.distribute.cluster import Cluster, cluster, is_chief, own_folder
from mtl_keras.distribute.strategies import NAMES, replicas, strategy

__all__ = ["NAMES", "Cluster", "cluster", "is_chief", "own_folder", "replicas", "strategy"]

"""Strategies by name."""

import tensorflow as tf

from mtl_keras.errors import message

NAMES = ["auto", "one", "mirrored"]


def strategy(name: str | tf.distribute.Strategy = "auto") -> tf.distribute.Strategy:
    """The strategy to build a model under: `with strategy("auto").scope(): ...`.

    Args:
        name: `"auto"` (default): all GPUs where there is more than one, else one device; `"one"`; `"mirrored"`: all
            GPUs, or all logical CPU devices where there is no GPU; or a strategy, which is returned as it is.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> strategy("one").num_replicas_in_sync
        1
    """
    if isinstance(name, tf.distribute.Strategy):
        return name
    if name not in NAMES:
        raise ValueError(message(f"a strategy among {NAMES}, or an instance", "choose one", strategy=name))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    if gpus:
        return tf.distribute.MirroredStrategy([device.name for device in gpus])
    # without collective ops: TensorFlow takes those of several strategies in one process for each other's
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    return tf.distribute.MirroredStrategy(cpus, cross_device_ops=tf.distribute.ReductionToOneDevice())


def replicas(strategy: tf.distribute.Strategy | None = None) -> int:
    """How many replicas share a batch under a strategy, by default under that of the current scope.

    Example:
        >>> replicas()
        1
    """
    return int((strategy or tf.distribute.get_strategy()).num_replicas_in_sync)

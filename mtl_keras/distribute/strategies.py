"""Strategies by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mtl_keras.distribute.cluster import is_chief, number_of_workers
from mtl_keras.errors import message

if TYPE_CHECKING:
    import tensorflow as tf

NAMES = ["auto", "one", "mirrored", "multi_worker"]


def strategy(name: "str | tf.distribute.Strategy" = "auto", devices: int | None = None) -> "tf.distribute.Strategy":
    """The strategy to build a model under: `with strategy("auto").scope(): ...`.

    Args:
        name: `"auto"` (default): the workers that TF_CONFIG names, else all GPUs where there is more than one, else one
            device; `"one"`; `"mirrored"`: all GPUs, or all logical CPU devices where there is no GPU;
            `"multi_worker"`: all devices of all workers; or a strategy, which is returned as it is.
        devices: For `"mirrored"`, how many devices at most, the first ones; default all.

    Raises:
        ValueError: The name is unknown, the strategy has no `fit`, no workers are named, TensorFlow was used before, or
            there are fewer devices.

    Example:
        >>> strategy("one").num_replicas_in_sync
        1

    A multi-worker strategy has to be made before anything else of TensorFlow runs, so make it first.
    """
    import tensorflow as tf

    if isinstance(name, tf.distribute.Strategy):
        return checked(name)
    if name not in NAMES:
        raise ValueError(message(f"a strategy among {NAMES}, or an instance", "choose one", strategy=name))
    if name == "multi_worker" or (name == "auto" and number_of_workers() > 1):
        return _multi_worker()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    names = _first(devices, [device.name for device in gpus or tf.config.list_logical_devices("CPU")])
    if gpus:
        return tf.distribute.MirroredStrategy(names)
    # TensorFlow mixes up the collectives of several strategies on the same processors; this way there are none
    return tf.distribute.MirroredStrategy(names, cross_device_ops=tf.distribute.ReductionToOneDevice())


def _first(number: int | None, names: list[str]) -> list[str]:
    if number is not None and (not isinstance(number, int) or not 1 <= number <= len(names)):
        raise ValueError(message(f"from 1 to {len(names)} devices", "take as many as there are", devices=number))
    return names[:number]


def replicas(strategy: "tf.distribute.Strategy | None" = None) -> int:
    """How many replicas share a batch under a strategy, by default under that of the current scope.

    Example:
        >>> replicas()
        1
    """
    import tensorflow as tf

    return int((strategy or tf.distribute.get_strategy()).num_replicas_in_sync)


def wait_for_all(strategy: "tf.distribute.Strategy") -> None:
    """Wait until all workers of a strategy have come here; at once where there is one worker.

    Example:
        >>> wait_for_all(strategy("one"))
    """
    all_agree(strategy, 0)


def all_agree(strategy: "tf.distribute.Strategy", value: float) -> bool:
    """Wait until all workers have come here; then, whether each of them came with the same number.

    Args:
        strategy: That of all workers.
        value: This worker's number.

    Example:
        >>> all_agree(strategy("one"), 3)
        True
    """
    if number_of_workers() == 1:
        return True
    import tensorflow as tf

    @tf.function
    def sums(own: tf.Tensor) -> tf.Tensor:
        total = strategy.run(lambda: tf.stack([own, own * own, tf.ones_like(own)]))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, total, axis=None)

    total, squares, replicas = (float(part) for part in sums(tf.constant(float(value), tf.float64)))
    # all numbers are the same where their variance is 0
    return squares * replicas == total * total


@contextmanager
def chief_first(strategy: "tf.distribute.Strategy") -> Iterator[None]:
    """A block that the chief runs before all other workers: what it writes there, they find.

    Example:
        >>> with chief_first(strategy("one")):
        ...     prepared = "data that are built once and then read"
    """
    if not is_chief():
        wait_for_all(strategy)
    yield
    if is_chief():
        wait_for_all(strategy)


def checked(strategy: "tf.distribute.Strategy") -> "tf.distribute.Strategy":
    """The strategy, if Keras can train under it."""
    import tensorflow as tf

    if isinstance(strategy, tf.distribute.experimental.ParameterServerStrategy):
        raise ValueError(
            message(
                "a strategy whose replicas train in step (Keras has no fit for parameter servers)",
                f"choose one among {NAMES}",
                strategy=type(strategy).__name__,
            )
        )
    if isinstance(strategy, tf.distribute.experimental.CentralStorageStrategy):
        raise ValueError(
            message(
                "a strategy whose replicas have metrics of their own (with this one all count in the same)",
                "choose 'mirrored'",
                strategy=type(strategy).__name__,
            )
        )
    return strategy


def _multi_worker() -> "tf.distribute.Strategy":
    import tensorflow as tf

    if number_of_workers() < 2:
        raise ValueError(
            message(
                "at least two workers in TF_CONFIG",
                "start the program with python -m mtl_keras.distribute.launch --workers 2 -- ...",
                workers=number_of_workers(),
            )
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            message(
                "a multi-worker strategy before anything else of TensorFlow runs",
                "call distribute.strategy at the start of the program, before data are loaded",
                error=str(error),
            )
        ) from error

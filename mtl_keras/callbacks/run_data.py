"""The data of a run that goes on: read again from the beginning, in the order that they had, from where it was."""

from typing import Any

import keras
import tensorflow as tf

from mtl_keras.errors import message
from mtl_keras.training.continuing import FitCall


def settings(call: FitCall) -> dict[str, Any]:
    """What of the data can be told before reading them.

    Raises:
        ValueError: They cannot be read again, or not from a place within.
    """
    if hasattr(call.x, "__next__"):
        raise ValueError(
            message(
                "data that can be read again from the beginning",
                "pass a tf.data.Dataset, arrays or a keras.utils.PyDataset",
                x=type(call.x).__name__,
            )
        )
    is_dataset = isinstance(call.x, tf.data.Dataset)
    length = int(call.x.cardinality()) if is_dataset else 0
    if call.steps_per_epoch and not _is_read_on(call.x):
        received = {"batches": length if length >= 0 else "unknown"} if is_dataset else {"x": type(call.x).__name__}
        raise ValueError(
            message(
                "a dataset that repeats without end where steps_per_epoch is given",
                "pass a tf.data.Dataset with .repeat(), or leave steps_per_epoch out",
                **received,
            )
        )
    if is_dataset:
        return {"data.batches": length, "data.steps_per_epoch": call.steps_per_epoch}
    shapes = [list(getattr(part, "shape", [])) for part in keras.tree.flatten(call.x)]
    return {
        "data.inputs": str(shapes),
        "data.batch_size": call.batch_size,
        "data.steps_per_epoch": call.steps_per_epoch,
    }


def _repeats(data: Any) -> bool:
    return isinstance(data, tf.data.Dataset) and int(data.cardinality()) == tf.data.INFINITE_CARDINALITY


def _is_read_on(data: Any) -> bool:
    """Whether an epoch of so many steps goes on in the data where the one before it ended.

    Datasets that a strategy has distributed tell no length; they are taken to be long enough.
    """
    return _repeats(data) or (hasattr(data, "element_spec") and not isinstance(data, tf.data.Dataset))


def in_passes(data: Any) -> Any:
    """A dataset whose passes begin when their first batch is read, not when Keras makes an iterator.

    Keras makes more iterators than it reads, and each draws the seeds of the dataset's shuffles.
    """
    if not isinstance(data, tf.data.Dataset) or _repeats(data):
        return data
    passes = tf.data.Dataset.range(1).flat_map(lambda _: data)
    length = int(data.cardinality())
    if length >= 0:
        passes = passes.apply(tf.data.experimental.assert_cardinality(length))
    return passes.with_options(data.options())


def begin_again(data: Any, passes: int, two_at_once: bool = False) -> None:
    """Bring data to where they are after so many passes.

    Args:
        data: Datasets draw the seeds of their shuffles again, a `PyDataset` is told that so many epochs have ended;
            arrays have nothing to remember.
        passes: How many there were.
        two_at_once: Whether a dataset holds two, of which one begins again within a pass: how often it draws seeds
            only reading tells.
    """
    if isinstance(data, keras.utils.PyDataset):
        for _ in range(passes):
            data.on_epoch_begin()
            data.on_epoch_end()
    if isinstance(data, tf.data.Dataset) and not _repeats(data):
        for _ in range(passes):
            batches = iter(data)
            for _ in batches if two_at_once else ():
                pass


def batches_before(call: FitCall, epochs: int, steps_per_execution: int) -> int:
    """How many batches earlier epochs took from a dataset that is read once, without end."""
    if not call.steps_per_epoch:
        return 0
    return epochs * -(-call.steps_per_epoch // steps_per_execution) * steps_per_execution

"""Examples whose inputs or outputs are not finite: nothing that is measured on them means anything.

In training such a task sits out the step, see `finite.py`. Evaluation and prediction show what there is, and say so:
the likeliest class of NaN is a class like any other, and TensorFlow's fused convolutions make a 0 of it.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.registry import PACKAGE

Counts = dict[str, int]
_INPUTS = "the inputs"


@keras.saving.register_keras_serializable(package=PACKAGE)
class NotFinite(keras.metrics.Metric):
    """For how many examples the inputs, and the output of each task, are not finite, since the last reset."""

    def __init__(self, task_names: list[str], name: str = "not_finite"):
        super().__init__(name=name, dtype="float32")
        self.task_names = list(task_names)
        self.state = self.add_variable((len(self.task_names) + 2,), "zeros", name="state", aggregation="sum")

    def update_state(self, inputs: Any, outputs: Mapping[str, tf.Tensor], examples: tf.Tensor) -> None:
        """Take in one batch.

        Args:
            inputs: A nest of tensors [B, ...].
            outputs: By task, [B, ...].
            examples: How many of them count: all, or none, see `parts.counted`.
        """
        found = [_count(keras.tree.flatten(inputs)), *(_count([outputs[task]]) for task in self.task_names)]
        self.state.assign_add(tf.minimum(tf.stack([*found, examples]), examples))

    def result(self) -> tf.Tensor:
        """How many inputs, outputs of each task, and examples in all, float32 [K + 2]."""
        return tf.convert_to_tensor(self.state)

    def counts(self) -> tuple[Counts, int]:
        """How many examples by what of them is not finite, and how many examples there were."""
        *found, examples = (round(float(count)) for count in keras.ops.convert_to_numpy(self.state))
        return dict(zip([_INPUTS, *map(_output, self.task_names)], found, strict=True)), examples


def counted(inputs: Any, outputs: Mapping[str, Any]) -> tuple[Counts, int]:
    """As `NotFinite.counts`, of what `predict` was given, as far as it is arrays, and of what it has returned.

    Example:
        >>> counted(np.array([[1.0], [np.inf]]), {"a": np.array([[1.0, np.nan], [0.5, 0.5]]), "b": np.array([3, 4])})
        ({'the inputs': 1, "the output of 'a'": 1, "the output of 'b'": 0}, 2)
    """
    parts = {_INPUTS: keras.tree.flatten(inputs)} | {_output(task): [values] for task, values in outputs.items()}
    flags = {what: [_flags(array) for array in arrays if _holds_numbers(array)] for what, arrays in parts.items()}
    found = {what: int(np.any(of_arrays, axis=0).sum()) if of_arrays else 0 for what, of_arrays in flags.items()}
    return found, max((len(flag) for of_arrays in flags.values() for flag in of_arrays), default=0)


def tell(counts: Counts, examples: int, stacklevel: int = 3) -> None:
    """Warn where there are any; `stacklevel` is that of `warnings.warn`, by default the caller's caller."""
    found = [f"{count} in {what}" for what, count in counts.items() if count]
    if found:
        warnings.warn(
            f"Of {examples} examples these have values that are not finite: {', '.join(found)}. What is measured on "
            "them means nothing. Look for NaN and infinite values in the data, and in the model's weights.",
            stacklevel=stacklevel,
        )


def _output(task: str) -> str:
    return f"the output of {task!r}"


def _count(tensors: Iterable[Any]) -> tf.Tensor:
    """In how many examples one of the tensors is not finite; float32."""
    floats = [tensor for tensor in tensors if isinstance(tensor, tf.Tensor) and tensor.dtype.is_floating]
    flags = [tf.reduce_any(~tf.math.is_finite(t), axis=list(range(1, t.shape.rank))) for t in floats]
    return tf.math.count_nonzero(tf.reduce_any(flags, axis=0), dtype=tf.float32) if flags else tf.zeros([])


def _holds_numbers(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim > 0 and array.dtype.kind not in "OSU"


def _flags(array: np.ndarray) -> np.ndarray:
    return ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))

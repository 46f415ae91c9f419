"""What inputs must look like: numbers, in the shapes that the model takes.

A step that was traced before runs on inputs of any shape, until an operation in the middle of it fails.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mtl_keras.errors import message


def check_inputs(x: Any, model_input: Any) -> list[int | None]:
    """Compare inputs with those of a model; Keras names structures that differ.

    Args:
        x: The model's own inputs of some examples, as arrays or as specs of a dataset.
        model_input: `model.input`.

    Returns:
        How many axes each has: a step that was traced for others does not fit.

    Raises:
        ValueError: An input holds no numbers, or has another shape than the model takes.
    """
    parts, tensors = keras.tree.flatten(x), keras.tree.flatten(model_input)
    keys = [set(given) if isinstance(given, Mapping) else None for given in (x, model_input)]
    shapes = [shape_of(part) for part in parts]
    if keys[0] == keys[1] and len(parts) == len(tensors):
        for part, shape, tensor in zip(parts, shapes, tensors, strict=True):
            _check_numbers(part, tensor)
            _check_shape(shape, tensor)
    return [shape.rank for shape in shapes]


def shape_of(data: Any) -> tf.TensorShape:
    """The shape of an array, of what can become one, or of a spec."""
    return tf.TensorShape(data.shape if hasattr(data, "shape") else np.shape(data))


def _check_numbers(part: Any, tensor: Any) -> None:
    dtype = getattr(part, "dtype", None)
    text = dtype == tf.string or (isinstance(dtype, np.dtype) and dtype.kind in "USO")
    if text and tensor.dtype != "string":
        raise ValueError(message(f"numbers as input {tensor.name!r}", "turn them into numbers first", dtype=str(dtype)))


def _check_shape(shape: tf.TensorShape, tensor: Any) -> None:
    if shape.rank is None:
        return
    given, takes = list(shape)[1:], list(tensor.shape)[1:]
    # Keras adds and takes away a last axis of length 1
    compared = given
    if len(given) == len(takes) + 1 and given[-1] in (1, None):
        compared = given[:-1]
    elif len(given) == len(takes) - 1 and takes[-1] == 1:
        compared = [*given, 1]
    if not tf.TensorShape(compared).is_compatible_with(takes):
        expected = f"input {tensor.name!r} of shape {tuple(takes)} for each example"
        raise ValueError(message(expected, "resize the inputs, or build the model for them", shape=tuple(given)))

"""Small gradients of one shape handled as one tensor: forty heads would cost forty times as many operations."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import prod
from typing import Any

import tensorflow as tf

from mtl_keras.gradients.gramian import Row

# from so many numbers on, leaving out those of an axis of unknown length, copying a gradient costs more than operations
LARGE = 2**12


@dataclass(frozen=True)
class Group:
    """Gradients of one shape.

    Attributes:
        places: `(row, column)` of each.
        values: All of them, [n, ...]; where there is one, itself.
    """

    places: list[tuple[int, int]]
    values: tf.Tensor

    @property
    def is_one(self) -> bool:
        """Whether it is a single gradient."""
        return len(self.places) == 1

    def has_one_of_each(self, num_rows: int) -> bool:
        """Whether it has one gradient of every row, in their order."""
        return [row for row, _ in self.places] == list(range(num_rows))

    def of_rows(self, values: tf.Tensor) -> tf.Tensor:
        """One value per row, of the values' dtype and to be spread over them: [n, 1, ...], a scalar where n is 1."""
        if self.is_one:
            return tf.cast(values[self.places[0][0]], self.values.dtype)
        is_all = values.shape[0] is not None and self.has_one_of_each(values.shape[0])
        found = values if is_all else tf.gather(values, [row for row, _ in self.places])
        return tf.reshape(tf.cast(found, self.values.dtype), [-1] + [1] * (self.values.shape.rank - 1))

    def are_finite(self) -> tf.Tensor:
        """Which gradients are finite throughout, bool [n]."""
        axes = None if self.is_one else list(range(1, self.values.shape.rank))
        return tf.reshape(tf.reduce_all(tf.math.is_finite(self.values), axes), [-1])


def groups(rows: list[Row]) -> list[Group]:
    """All pieces of some rows; each large one is a group of its own."""
    found: dict[Hashable, list[tuple[int, int, tf.Tensor]]] = {}
    for i, row in enumerate(rows):
        for j, piece in enumerate(row):
            if piece is not None:
                found.setdefault(_key(piece, i, j), []).append((i, j, piece))
    return [_group(members) for members in found.values()]


def changed(rows: list[Row], change: Callable[[Group], tf.Tensor]) -> list[Row]:
    """The rows with other values: what `change` makes of a group's values."""
    result: list[Row] = [[None] * len(row) for row in rows]
    for group in groups(rows):
        values = change(group)
        pieces = [values] if group.is_one else tf.unstack(values, num=len(group.places))
        for (i, j), piece in zip(group.places, pieces, strict=True):
            result[i][j] = piece
    return result


def stacked(tensors: list[tf.Tensor]) -> tf.Tensor:
    """`tf.stack`, at no cost where the tensors are all that one was unstacked into."""
    whole = _unstacked(tensors)
    return tf.stack(tensors) if whole is None else whole


def _unstacked(tensors: list[tf.Tensor]) -> Any:
    operation = getattr(tensors[0], "op", None)  # eager tensors do not know what made them
    if operation is None or operation.type != "Unpack" or operation.get_attr("axis") != 0:
        return None
    parts = operation.outputs
    is_whole = len(parts) == len(tensors) and all(a is b for a, b in zip(parts, tensors, strict=True))
    return operation.inputs[0] if is_whole else None


def scaled(rows: list[Row], factors: tf.Tensor) -> list[Row]:
    """Rows times their factors [len(rows)]; a factor of 0 hides what is not finite."""
    return changed(rows, lambda group: tf.math.multiply_no_nan(group.values, group.of_rows(factors)))


def _group(members: list[tuple[int, int, tf.Tensor]]) -> Group:
    pieces = [piece for *_, piece in members]
    return Group([(i, j) for i, j, _ in members], pieces[0] if len(pieces) == 1 else stacked(pieces))


def _key(piece: tf.Tensor, row: int, column: int) -> Hashable:
    shape, dtype = piece.shape, piece.dtype
    if shape.rank is None or prod(size or 1 for size in shape) >= LARGE:
        return row, column
    # lengths that are not known are the same for all tasks at one tensor of the cut, and not elsewhere
    return (tuple(shape), dtype) if shape.is_fully_defined() else (tuple(shape), dtype, column)
